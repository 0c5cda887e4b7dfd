-- Opens the meter of a session and supplier unless it is open.
--
-- Keys:      KEYS[1] meta, KEYS[2] consumed, KEYS[3] set of active meters.
-- Arguments: ARGV[1] meta (JSON), ARGV[2] life in seconds, ARGV[3] member of the set.
-- Reply:     the stored meta: the caller's, or that of whoever was first.
-- Invariant: what is consumed already is never forgotten by opening again.
local meta = redis.call('GET', KEYS[1])
if meta then
  return meta
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('SET', KEYS[2], '0', 'EX', ARGV[2], 'NX')
redis.call('SADD', KEYS[3], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[2])
return ARGV[1]
