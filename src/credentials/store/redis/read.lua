-- The record of a slot; empty where there is none. KEYS: record. ARGV: bytes of the largest one.
local record = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[1])
return type(record) == 'string' and record or 'no text'
