-- Gives back budget that was taken and not used.
--
-- Keys:      KEYS[1] consumed (uPOKT).
-- Arguments: ARGV[1] amount (uPOKT).
-- Reply:     what is consumed then.
-- Invariant: the counter never goes below zero, and one that is gone stays gone.
local consumed = tonumber(redis.call('GET', KEYS[1]) or '0')
local amount = math.min(tonumber(ARGV[1]), consumed)
if amount <= 0 then
  return consumed
end
return redis.call('DECRBY', KEYS[1], string.format('%.0f', amount))
