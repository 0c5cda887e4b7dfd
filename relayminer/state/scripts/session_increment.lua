-- Adds to a session's counters unless the session is over. Runs after guard.lua.
--
-- Keys:      KEYS[3] record.
-- Arguments: ARGV[3] relays, ARGV[4] compute units, ARGV[5] time, ARGV[6] life in seconds (0: no
--            end), ARGV[7] terminal states, each between two commas.
-- Reply:     1, or 0 when the state is terminal.
-- Invariant: the counters of a session that is over do not change.
local kind = redis.call('TYPE', KEYS[3]).ok
if kind == 'none' then
  return redis.error_reply('NOSESSION there is no such session')
elseif kind ~= 'hash' then
  return redis.error_reply('LEGACY the session has the old form')
end
local state = redis.call('HGET', KEYS[3], 'state') or ''
if string.find(ARGV[7], ',' .. state .. ',', 1, true) then
  return 0
end
redis.call('HINCRBY', KEYS[3], 'relay_count', ARGV[3])
redis.call('HINCRBY', KEYS[3], 'total_compute_units', ARGV[4])
redis.call('HSET', KEYS[3], 'last_updated_at', ARGV[5])
if ARGV[6] ~= '0' then
  redis.call('EXPIRE', KEYS[3], ARGV[6])
end
return 1
