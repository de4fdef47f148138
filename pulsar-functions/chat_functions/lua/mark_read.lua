-- MARK_READ: the mark is durable in the log; raise it. Refuses another epoch or Redis run.
-- KEYS head, members, interest   ARGV run_id, epoch, reader, seq, members of a room whose members are told
-- Returns {'lost'} | {'ok', gateway, token, ...}, without gateways where only the reader's own devices are told
local head = redis.call('HMGET', KEYS[1], 'run', 'epoch')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] then return {'lost'} end
local raw = redis.call('HGET', KEYS[2], ARGV[3])
if raw and cjson.decode(raw).read_seq < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[2], ARGV[3], (string.gsub(raw, '"read_seq":%d+', '"read_seq":' .. ARGV[4])))
end
if redis.call('HLEN', KEYS[2]) > tonumber(ARGV[5]) then return {'ok'} end
local answer = redis.call('HGETALL', KEYS[3])
table.insert(answer, 1, 'ok')
return answer
