-- Appends a relay to the log unless its request was answered before in its session.
--
-- Keys:      KEYS[1] stream, KEYS[2] set of the session's request hashes.
-- Arguments: ARGV[1] entry, ARGV[2] request hash, ARGV[3] life of the set in seconds.
-- Reply:     the entry's id, or nil for a replay.
-- Invariant: a request hash is in the set exactly when one entry was logged for it.
if redis.call('SADD', KEYS[2], ARGV[2]) == 0 then
  return false
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return redis.call('XADD', KEYS[1], '*', 'data', ARGV[1])
