-- Sets the life of keys anew. Runs after guard.lua.
--
-- Keys:      KEYS[3...] what is to live.
-- Arguments: ARGV[3] life in seconds.
-- Reply:     how many there were.
-- Invariant: nothing but the lives of existing keys changes.
local found = 0
for index = 3, #KEYS do
  found = found + redis.call('EXPIRE', KEYS[index], ARGV[3])
end
return found
