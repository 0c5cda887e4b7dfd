-- Removes a consumer that has nothing pending any more.
--
-- Keys:      KEYS[1] stream.
-- Arguments: ARGV[1] group, ARGV[2] consumer.
-- Reply:     1, or 0 when it still has entries pending.
-- Invariant: removing a consumer never forgets a pending entry.
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
