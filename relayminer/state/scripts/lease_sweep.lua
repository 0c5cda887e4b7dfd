-- Looks at many leases at once: prolongs the caller's, takes those that it wants and that are free,
-- and says who has the others.
--
-- Keys:      KEYS[2n-1] counter of fencing tokens of the nth lease, KEYS[2n] the lease.
-- Arguments: ARGV[1] owner id, ARGV[2] life of a lease in milliseconds, ARGV[2+n] the wish for the
--            nth lease: the token under which the caller holds it, '+' (take it when it is free or
--            the caller's own), '?' (look).
-- Reply:     for each lease its token when it is the caller's now, 0 when it is free, else the
--            holder and the milliseconds that are left (-1: no end).
-- Invariant: tokens of a lease only grow, and no two holders ever had the same one. A lease that
--            was lost for a moment is not taken up again under its old token. What is wrong with
--            one lease is no trouble for the others.
local replies = {}
for index = 1, #KEYS / 2 do
  local fence, lease, wish = KEYS[2 * index - 1], KEYS[2 * index], ARGV[2 + index]
  local holder = redis.pcall('GET', lease)
  local reply = 0
  if type(holder) == 'table' then
    reply = {holder.err, -1}
  elseif holder == ARGV[1] and redis.pcall('GET', fence) == wish then
    redis.call('PEXPIRE', lease, ARGV[2])
    reply = tonumber(wish)
  elseif wish == '+' and (not holder or holder == ARGV[1]) then
    local token = redis.pcall('INCR', fence)
    if type(token) == 'table' then
      reply = {token.err, -1}
    else
      redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
      reply = token
    end
  elseif holder then
    reply = {holder, redis.call('PTTL', lease)}
  end
  replies[index] = reply
end
return replies
