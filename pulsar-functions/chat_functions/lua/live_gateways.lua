-- Gateways with a fresh heartbeat, by the clock of Redis alone: no part's wall clock counts.
-- KEYS gateways   ARGV age ms
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now - tonumber(ARGV[1]), '+inf')
