-- Makes a trie's commit durable: its nodes, its root and the session's counters, all or nothing.
-- Runs after guard.lua.
--
-- Keys:      KEYS[3] nodes, KEYS[4] live root, KEYS[5] claimed root, KEYS[6] session record.
-- Arguments: ARGV[3] root that the commit extends (48 bytes, empty: a trie that is not stored yet),
--            ARGV[4] new root, ARGV[5] life of the trie in seconds (0: no end), ARGV[6] life of the
--            session in seconds (0: no end), ARGV[7] relays to add to the session's counter,
--            ARGV[8] compute units to add, ARGV[9] time, ARGV[10] number of nodes to write, then
--            that many digests (hex) each with its node, then the digests to remove.
-- Reply:     1.
-- Invariant: the live root is always the root of a complete trie, and a commit is applied only to
--            the very root that it was made from, so a late or repeated call changes nothing. A
--            sealed trie (there is a claimed root) never changes.
if redis.call('EXISTS', KEYS[5]) == 1 then
  return redis.error_reply('SEALED the trie of this session is sealed')
end
if (redis.call('GET', KEYS[4]) or '') ~= ARGV[3] then
  return redis.error_reply('STALE the live root is not the one that this commit extends')
end
local kind = redis.call('TYPE', KEYS[6]).ok
if kind == 'none' then
  return redis.error_reply('NOSESSION there is no such session')
elseif kind ~= 'hash' then
  return redis.error_reply('LEGACY the session has the old form')
end
-- First what may fail, on a counter that is no number: nothing takes back what a script has done.
redis.call('HINCRBY', KEYS[6], 'relay_count', ARGV[7])
redis.call('HINCRBY', KEYS[6], 'total_compute_units', ARGV[8])
local last_node = 10 + 2 * tonumber(ARGV[10])
in_pieces('HSET', KEYS[3], 11, last_node)
in_pieces('HDEL', KEYS[3], last_node + 1, #ARGV)
redis.call('SET', KEYS[4], ARGV[4])
redis.call('HSET', KEYS[6], 'last_updated_at', ARGV[9])
if ARGV[5] ~= '0' then
  redis.call('EXPIRE', KEYS[3], ARGV[5])
  redis.call('EXPIRE', KEYS[4], ARGV[5])
end
if ARGV[6] ~= '0' then
  redis.call('EXPIRE', KEYS[6], ARGV[6])
end
return 1
