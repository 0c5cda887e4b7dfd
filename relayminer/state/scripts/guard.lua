-- Prelude of every script that changes a supplier's state; it is put before the script's text.
--
-- Keys:      KEYS[1] counter of fencing tokens, KEYS[2] lease.
-- Arguments: ARGV[1] the caller's token, ARGV[2] the caller's owner id.
-- Invariant: a script goes on only for the holder of the newest token, and never while the lease
--            is in other hands (a Go miner takes the lease without taking a token).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED a newer token was given out')
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then
  return redis.error_reply('FENCED the lease is held by ' .. holder)
end

-- Calls a command with the arguments first..last of ARGV in pieces that unpack can take. Pairs
-- must not be torn apart, so the pieces have an even size.
local function in_pieces(command, key, first, last)
  for from = first, last, 4000 do
    redis.call(command, key, unpack(ARGV, from, math.min(from + 3999, last)))
  end
end

