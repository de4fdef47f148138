-- FILL: what the holder of the lease read becomes the copy. Nothing happens if the lease is gone.
-- KEYS copy   ARGV run_id, lease, ttl ms, then pairs field, value
-- Returns 1 if filled, 0 if the truth has changed meanwhile: read it again.
local held = redis.call('HMGET', KEYS[1], '~run', '~lease', '~filled')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
if held[3] == '1' then return 1 end
for i = 4, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], '~filled', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
