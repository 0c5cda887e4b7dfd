-- Forgets messages that are settled; without any it only cleans the index. Runs after guard.lua.
--
-- Keys:      KEYS[3] messages of a supplier and session end, KEYS[4] index.
-- Arguments: ARGV[3] member of the index, ARGV[4...] session ids.
-- Reply:     how many were forgotten.
-- Invariant: the index names exactly the groups that have messages.
local removed = 0
if #ARGV > 3 then
  removed = redis.call('HDEL', KEYS[3], unpack(ARGV, 4))
end
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('SREM', KEYS[4], ARGV[3])
end
return removed
