-- Appends records to a ledger, each once.
--
-- Keys:      KEYS[1] ledger (stream), KEYS[2] record ids (hash: record id to entry id).
-- Arguments: record ids, each with its record.
-- Reply:     how many were new.
-- Invariant: a record id names at most one entry, however often and by whomever it is appended.
local added = 0
for index = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[index]) == 0 then
    local entry = redis.call('XADD', KEYS[1], '*', 'id', ARGV[index], 'data', ARGV[index + 1])
    redis.call('HSET', KEYS[2], ARGV[index], entry)
    added = added + 1
  end
end
return added
