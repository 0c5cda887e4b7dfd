-- Replaces a value that is still the one which the caller has read.
--
-- Keys:      KEYS[1] the value's key.
-- Arguments: ARGV[1] the value read (empty: there was none), ARGV[2] the new one, ARGV[3] life in
--            seconds (0: no end).
-- Reply:     1, or 0 when the value is another one by now.
-- Invariant: of two who change the same value at once, neither undoes the other's change.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[3] ~= '0' then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return 1
