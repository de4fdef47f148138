-- LET_PASS: one more of what is limited, if there is room. Who is refused is not counted, so waiting helps.
-- KEYS counter   ARGV limit, ms until the count begins anew
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('INCR', KEYS[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
