-- Drops the oldest records of a ledger together with their ids.
--
-- Keys:      KEYS[1] ledger (stream), KEYS[2] record ids.
-- Arguments: ARGV[1] records to keep, ARGV[2] most to drop in one call.
-- Reply:     how many were dropped.
-- Invariant: an id is known exactly as long as its record.
local excess = math.min(redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1]), tonumber(ARGV[2]))
if excess <= 0 then
  return 0
end
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', excess)) do
  redis.call('HDEL', KEYS[2], entry[2][2])
  redis.call('XDEL', KEYS[1], entry[1])
end
return excess
