-- Gives up a lease that is still the caller's, and tells those who wait for one.
--
-- Keys:      KEYS[1] counter of fencing tokens, KEYS[2] lease.
-- Arguments: ARGV[1] token, ARGV[2] owner id, ARGV[3] channel.
-- Reply:     1, or 0 when there was nothing of the caller's to give up.
-- Invariant: nobody else's lease is ever deleted, not even one of the same owner's next life.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[3], KEYS[2])
return 1
