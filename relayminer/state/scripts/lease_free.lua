-- Frees leases whose holder is known to be dead, and tells those who wait for one.
--
-- Keys:      KEYS[...] leases.
-- Arguments: ARGV[1] the dead owner's id, ARGV[2] channel.
-- Reply:     how many were the dead one's.
-- Invariant: only the dead owner's leases are deleted; the next holder gets a new fencing token, so
--            whatever of the dead one is still on its way changes nothing.
local freed = 0
for _, lease in ipairs(KEYS) do
  if redis.pcall('GET', lease) == ARGV[1] then
    freed = freed + redis.call('DEL', lease)
    redis.call('PUBLISH', ARGV[2], lease)
  end
end
return freed
