-- Frees a lease whose holder is known to be dead.
--
-- Keys:      KEYS[1] lease.
-- Arguments: ARGV[1] the dead owner's id.
-- Reply:     1, or 0 when the lease is free or somebody else's.
-- Invariant: only the dead owner's lease is deleted; the next holder gets a new fencing token, so
--            whatever of the dead one is still on its way changes nothing.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
