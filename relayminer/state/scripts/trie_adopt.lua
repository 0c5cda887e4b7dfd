-- Gives a sealed trie under the names of old the names of its supplier. Runs after guard.lua.
--
-- Keys:      KEYS[3] claimed root, KEYS[4...6] the trie's other names, KEYS[7...10] the old names in
--            the same order.
-- Arguments: ARGV[3] the claimed root (48 bytes) of the supplier's record.
-- Reply:     1, or 0 when there is a trie under the new names, or none with this root under the old.
-- Invariant: all of a trie moves, and never onto another one.
if redis.call('EXISTS', KEYS[3], KEYS[4], KEYS[5], KEYS[6]) > 0 then
  return 0
end
if redis.call('GET', KEYS[7]) ~= ARGV[3] then
  return 0
end
for index = 3, 6 do
  if redis.call('EXISTS', KEYS[index + 4]) == 1 then
    redis.call('RENAME', KEYS[index + 4], KEYS[index])
  end
end
return 1
