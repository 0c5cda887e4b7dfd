-- Moves a session to another state, with further fields if wanted. Runs after guard.lua.
--
-- Keys:      KEYS[3] record, KEYS[4] index of the new state, KEYS[5...] indexes of all other states.
-- Arguments: ARGV[3] session id, ARGV[4] life in seconds (0: no end), ARGV[5] new state,
--            ARGV[6] time of the change, ARGV[7] allowed old states, each between two commas,
--            empty for any, ARGV[8...] further fields and values.
-- Reply:     the old state and 1, or the old state and 0 when it is not an allowed one.
-- Invariant: comparison and change are one step, so two events cannot both win.
local kind = redis.call('TYPE', KEYS[3]).ok
if kind == 'none' then
  return redis.error_reply('NOSESSION there is no such session')
elseif kind ~= 'hash' then
  return redis.error_reply('LEGACY the session has the old form')
end
local before = redis.call('HGET', KEYS[3], 'state') or ''
if ARGV[7] ~= '' and not string.find(ARGV[7], ',' .. before .. ',', 1, true) then
  return {before, 0}
end
redis.call('HSET', KEYS[3], 'state', ARGV[5], 'last_updated_at', ARGV[6])
if #ARGV > 7 then
  in_pieces('HSET', KEYS[3], 8, #ARGV)
end
for index = 5, #KEYS do
  redis.call('SREM', KEYS[index], ARGV[3])
end
redis.call('SADD', KEYS[4], ARGV[3])
if ARGV[4] ~= '0' then
  redis.call('EXPIRE', KEYS[3], ARGV[4])
  redis.call('EXPIRE', KEYS[4], ARGV[4])
end
return {before, 1}
