-- Takes the lease where nobody holds it. KEYS: record, lease, fence.
-- ARGV: bytes of the largest record, owner, milliseconds of a lease, of the longest of any version, of the fence.
-- Gives the fencing number, 0 where somebody else holds the lease, and the record.
local left = redis.call('PTTL', KEYS[2])
if left == -1 or left > tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[2]) -- none of ours: it would never lapse
end
local fence = 0
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  local known = redis.pcall('GET', KEYS[3])
  if type(known) ~= 'string' or not string.match(known, '^%d+$') or #known > 15 then
    -- Begun at the time, in milliseconds: so no number comes again, also after all was lost.
    local now = redis.call('TIME')
    redis.call('SET', KEYS[3], now[1] .. string.format('%03d', math.floor(now[2] / 1000)))
  end
  fence = redis.call('INCR', KEYS[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
local record = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[1])
return { fence, type(record) == 'string' and record or 'no text' }
