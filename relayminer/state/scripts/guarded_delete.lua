-- Deletes keys. Runs after guard.lua.
--
-- Keys:      KEYS[3...] what to delete.
-- Reply:     how many there were.
-- Invariant: they go together.
return redis.call('DEL', unpack(KEYS, 3))
