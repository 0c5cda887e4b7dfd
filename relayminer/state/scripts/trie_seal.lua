-- Closes a trie for good: from here on its live root is its claimed root. Runs after guard.lua.
--
-- Keys:      KEYS[3] nodes, KEYS[4] live root, KEYS[5] claimed root, KEYS[6] stats, KEYS[7] session
--            record.
-- Arguments: ARGV[3] root (48 bytes), ARGV[4] stats, ARGV[5] life in seconds (0: no end), ARGV[6]
--            relays and ARGV[7] compute units of the root.
-- Reply:     the claimed root, which is an earlier one when the trie was sealed before.
-- Invariant: a claimed root never changes, and it is the root of a trie that is stored whole. From
--            then on the record's counters say what the root holds: what they were ahead of the
--            trie, as the witness of a loss, has been told by now.
local sealed = redis.call('GET', KEYS[5])
if not sealed then
  if redis.call('GET', KEYS[4]) ~= ARGV[3] then
    return redis.error_reply('STALE the live root is not the one to seal')
  end
  redis.call('SET', KEYS[5], ARGV[3])
  redis.call('SET', KEYS[6], ARGV[4])
  sealed = ARGV[3]
  if redis.call('TYPE', KEYS[7]).ok == 'hash' then
    redis.call('HSET', KEYS[7], 'relay_count', ARGV[6], 'total_compute_units', ARGV[7])
  end
end
if ARGV[5] ~= '0' then
  for index = 3, 6 do
    redis.call('EXPIRE', KEYS[index], ARGV[5])
  end
end
return sealed
