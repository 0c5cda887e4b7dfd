-- Puts a rebuilt trie in the place of a damaged one, which is kept aside. Runs after guard.lua.
--
-- Keys:      KEYS[3] nodes, KEYS[4] live root, KEYS[5] claimed root, KEYS[6] stats, KEYS[7] rebuilt
--            nodes (none: only the roots are wrong), KEYS[8] damaged nodes, KEYS[9] damaged roots.
-- Arguments: ARGV[3] live root and ARGV[4] claimed root as they were found (empty: none), ARGV[5] new
--            root (empty: nothing is left), ARGV[6] stats, ARGV[7] life of the trie in seconds (0: no
--            end), ARGV[8] life of what is kept aside, ARGV[9] time.
-- Reply:     1.
-- Invariant: a trie is replaced whole and only as it was found; nothing of the old one is deleted
--            but what was kept aside before. An open trie stays open, a sealed one sealed. The
--            session's record goes on saying what was counted: it is the witness of what is missing.
if (redis.call('GET', KEYS[4]) or '') ~= ARGV[3] or (redis.call('GET', KEYS[5]) or '') ~= ARGV[4] then
  return redis.error_reply('STALE the roots are not those that were found')
end
local rebuilt = redis.call('EXISTS', KEYS[7]) == 1
if (rebuilt or ARGV[5] == '') and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('RENAME', KEYS[3], KEYS[8])
  redis.call('EXPIRE', KEYS[8], ARGV[8])
end
redis.call('HSET', KEYS[9], 'live_root', ARGV[3], 'root', ARGV[4], 'at', ARGV[9])
redis.call('EXPIRE', KEYS[9], ARGV[8])
if rebuilt then
  redis.call('RENAME', KEYS[7], KEYS[3])
  redis.call('PERSIST', KEYS[3])
end
local roots = {KEYS[4]}
if ARGV[4] ~= '' then
  roots = {KEYS[4], KEYS[5]}
end
for _, key in ipairs(roots) do
  if ARGV[5] == '' then
    redis.call('DEL', key)
  else
    redis.call('SET', key, ARGV[5])
  end
end
if ARGV[4] ~= '' and ARGV[5] ~= '' then
  redis.call('SET', KEYS[6], ARGV[6])
end
if ARGV[7] ~= '0' then
  for index = 3, 6 do
    redis.call('EXPIRE', KEYS[index], ARGV[7])
  end
end
return 1
