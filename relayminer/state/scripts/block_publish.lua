-- Publishes a block and keeps the highest one for those who come later. Runs after guard.lua.
--
-- Keys:      KEYS[3] last block.
-- Arguments: ARGV[3] channel, ARGV[4] block (JSON), ARGV[5] its height.
-- Reply:     how many subscribers got it.
-- Invariant: the height of the stored block never falls, and who leads no more publishes nothing.
local last = redis.call('GET', KEYS[3])
local height = last and tonumber(string.match(last, '"height":(%d+)'))
if not height or tonumber(ARGV[5]) >= height then
  redis.call('SET', KEYS[3], ARGV[4])
end
return redis.call('PUBLISH', ARGV[3], ARGV[4])
