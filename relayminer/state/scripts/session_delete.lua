-- Removes a session record and its index entries. Runs after guard.lua.
--
-- Keys:      KEYS[3] record, KEYS[4...] all indexes that may name it.
-- Arguments: ARGV[3] session id.
-- Reply:     1 when there was a record, else 0.
-- Invariant: no index names a session that was deleted.
for index = 4, #KEYS do
  redis.call('SREM', KEYS[index], ARGV[3])
end
return redis.call('DEL', KEYS[3])
