-- Prolongs a lease that is still the caller's.
--
-- Keys:      KEYS[1] counter of fencing tokens, KEYS[2] lease.
-- Arguments: ARGV[1] token, ARGV[2] owner id, ARGV[3] life of the lease in milliseconds.
-- Reply:     1, or 0 when the lease has run out or is in other hands.
-- Invariant: a lease that was lost for a moment is not taken up again under its old token.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
return redis.call('PEXPIRE', KEYS[2], ARGV[3])
