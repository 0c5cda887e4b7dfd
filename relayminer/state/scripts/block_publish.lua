-- Publishes a block and keeps the highest one for those who come later.
--
-- Keys:      KEYS[1] last block.
-- Arguments: ARGV[1] channel, ARGV[2] block (JSON), ARGV[3] its height.
-- Reply:     how many subscribers got it.
-- Invariant: the height of the stored block never falls.
local last = redis.call('GET', KEYS[1])
local height = last and tonumber(string.match(last, '"height":(%d+)'))
if not height or tonumber(ARGV[3]) >= height then
  redis.call('SET', KEYS[1], ARGV[2])
end
return redis.call('PUBLISH', ARGV[1], ARGV[2])
