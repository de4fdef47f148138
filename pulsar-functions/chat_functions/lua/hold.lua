-- HOLD: whoever has fenced the room off still rebuilds it.
-- KEYS head   ARGV run_id, epoch of the fence
local head = redis.call('HMGET', KEYS[1], 'run', 'fence')
if head[1] ~= 'fence:' .. ARGV[1] or head[2] ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], 'fence_at', string.format('%.0f', now))
return 1
