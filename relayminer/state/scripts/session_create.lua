-- Writes a session record unless there is one. Runs after guard.lua.
--
-- Keys:      KEYS[3] record, KEYS[4] index of the supplier's sessions, KEYS[5] index of the state.
-- Arguments: ARGV[3] session id, ARGV[4] life in seconds (0: no end), ARGV[5...] fields and values.
-- Reply:     1, or 0 when there was one.
-- Invariant: an existing record is not touched, and a record is never without its index entries.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
in_pieces('HSET', KEYS[3], 5, #ARGV)
for index = 4, 5 do
  redis.call('SADD', KEYS[index], ARGV[3])
end
if ARGV[4] ~= '0' then
  for index = 3, 5 do
    redis.call('EXPIRE', KEYS[index], ARGV[4])
  end
end
return 1
