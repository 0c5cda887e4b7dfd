-- Puts dead letters back into the log that they came from.
--
-- Keys:      KEYS[1] dead letters, KEYS[2] log.
-- Arguments: ARGV[1...] ids of the letters.
-- Reply:     how many were put back.
-- Invariant: a letter is in one of the two places. One without data stays where it is.
local replayed = 0
for _, id in ipairs(ARGV) do
  local found = redis.call('XRANGE', KEYS[1], id, id)
  if found[1] then
    local fields = found[1][2]
    for index = 1, #fields, 2 do
      if fields[index] == 'data' and fields[index + 1] ~= '' then
        redis.call('XADD', KEYS[2], '*', 'data', fields[index + 1])
        redis.call('XDEL', KEYS[1], id)
        replayed = replayed + 1
        break
      end
    end
  end
end
return replayed
