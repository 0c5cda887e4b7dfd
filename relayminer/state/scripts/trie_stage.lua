-- Gathers the nodes of a trie that is being rebuilt. Runs after guard.lua.
--
-- Keys:      KEYS[3] rebuilt nodes.
-- Arguments: ARGV[3] life in seconds, ARGV[4] number of nodes to write, then that many digests (hex)
--            each with its node, then the digests to remove.
-- Reply:     1.
-- Invariant: nothing that is in use is touched; what nobody installs runs out.
local last_node = 4 + 2 * tonumber(ARGV[4])
in_pieces('HSET', KEYS[3], 5, last_node)
in_pieces('HDEL', KEYS[3], last_node + 1, #ARGV)
redis.call('EXPIRE', KEYS[3], ARGV[3])
return 1
