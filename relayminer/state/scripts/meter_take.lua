-- Reserves budget for as many relays as there is room for.
--
-- Keys:      KEYS[1] consumed (uPOKT).
-- Arguments: ARGV[1] cost of a relay (uPOKT), ARGV[2] relays wanted, ARGV[3] budget (uPOKT),
--            ARGV[4] life of the counter in seconds, for one that has none.
-- Reply:     relays granted (0 to ARGV[2]), and what is consumed then.
-- Invariant: what we grant never takes the counter beyond the budget. (Amounts stay far below
--            2^53, the supply being some 2 * 10^15 uPOKT, so Lua's numbers are exact.)
local cost, wanted, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local consumed = tonumber(redis.call('GET', KEYS[1]) or '0')
local granted = wanted
if cost > 0 then
  granted = math.max(0, math.min(wanted, math.floor((budget - consumed) / cost)))
end
if granted > 0 and cost > 0 then
  consumed = redis.call('INCRBY', KEYS[1], string.format('%.0f', granted * cost))
end
if redis.call('TTL', KEYS[1]) == -1 then
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return {granted, consumed}
