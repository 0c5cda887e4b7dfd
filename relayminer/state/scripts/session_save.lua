-- Writes a session record: a new one whole, an existing one without its two counters, which only
-- grow by increments. Runs after guard.lua.
--
-- Keys:      KEYS[3] record, KEYS[4] index of the supplier's sessions, KEYS[5] index of the new
--            state, KEYS[6...] indexes of all other states.
-- Arguments: ARGV[3] session id, ARGV[4] life in seconds (0: no end), ARGV[5] number of optional
--            fields to remove, then their names, then fields and values; the counters come last.
-- Reply:     1 when the record existed, else 0.
-- Invariant: a session is in the index of exactly one state, its record's.
local removed = tonumber(ARGV[5])
local first = 6 + removed
local kind = redis.call('TYPE', KEYS[3]).ok
local existed = 0
local last = #ARGV
if kind == 'hash' then
  existed = 1
  last = last - 4
  if removed > 0 then
    redis.call('HDEL', KEYS[3], unpack(ARGV, 6, 5 + removed))
  end
else
  redis.call('DEL', KEYS[3])
end
redis.call('HSET', KEYS[3], unpack(ARGV, first, last))
for index = 6, #KEYS do
  redis.call('SREM', KEYS[index], ARGV[3])
end
for index = 4, 5 do
  redis.call('SADD', KEYS[index], ARGV[3])
end
if ARGV[4] ~= '0' then
  for index = 3, 5 do
    redis.call('EXPIRE', KEYS[index], ARGV[4])
  end
end
return existed
