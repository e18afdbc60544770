-- Gives a lease back, if it is still the owner's. KEYS: lease. ARGV: owner.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
