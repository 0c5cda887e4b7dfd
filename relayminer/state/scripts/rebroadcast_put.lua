-- Notes a message that must be seen on chain. Runs after guard.lua.
--
-- Keys:      KEYS[3] messages of a supplier and session end, KEYS[4] index.
-- Arguments: ARGV[3] session id, ARGV[4] entry (JSON), ARGV[5] member of the index, ARGV[6] life
--            in seconds.
-- Reply:     1.
-- Invariant: messages are never without their index entry.
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[6])
redis.call('SADD', KEYS[4], ARGV[5])
redis.call('EXPIRE', KEYS[4], ARGV[6])
return 1
