-- Takes a lease that is free or the caller's own, with a new fencing token.
--
-- Keys:      KEYS[1] counter of fencing tokens, KEYS[2] lease.
-- Arguments: ARGV[1] owner id, ARGV[2] life of the lease in milliseconds.
-- Reply:     the token, or 0 when somebody else holds the lease.
-- Invariant: tokens of a lease only grow, and no two holders ever had the same one.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[1])
