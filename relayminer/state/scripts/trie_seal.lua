-- Closes a trie for good: from here on its live root is its claimed root. Runs after guard.lua.
--
-- Keys:      KEYS[3] nodes, KEYS[4] live root, KEYS[5] claimed root, KEYS[6] stats.
-- Arguments: ARGV[3] root (48 bytes), ARGV[4] stats, ARGV[5] life in seconds (0: no end).
-- Reply:     the claimed root, which is an earlier one when the trie was sealed before.
-- Invariant: a claimed root never changes, and it is the root of a trie that is stored whole.
local sealed = redis.call('GET', KEYS[5])
if not sealed then
  if redis.call('GET', KEYS[4]) ~= ARGV[3] then
    return redis.error_reply('STALE the live root is not the one to seal')
  end
  redis.call('SET', KEYS[5], ARGV[3])
  redis.call('SET', KEYS[6], ARGV[4])
  sealed = ARGV[3]
end
if ARGV[5] ~= '0' then
  for index = 3, 6 do
    redis.call('EXPIRE', KEYS[index], ARGV[5])
  end
end
return sealed
