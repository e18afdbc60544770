-- Prolongs a lease, also one that has lapsed, if nobody has claimed the slot since; with a record, writes that too.
-- KEYS: record, lease, fence. ARGV: owner, fencing number, milliseconds of a lease, record (or nothing), its
-- milliseconds (0 for one that does not end). Gives 1, or 0 where somebody else has claimed the slot.
local owner = redis.pcall('GET', KEYS[2])
if owner and owner ~= ARGV[1] or redis.pcall('GET', KEYS[3]) ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
if ARGV[4] then
  if ARGV[5] == '0' then
    redis.call('SET', KEYS[1], ARGV[4])
  else
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
  end
end
return 1
