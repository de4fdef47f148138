-- COMMIT: the event is durable in the log; make it visible. Refuses another epoch or Redis run, and a hole.
-- KEYS head, members, recent, key, interest
-- ARGV run_id, epoch, offset, seq, event JSON, length of recent, sender's seq to read ('' none), actor,
--      then pairs user, Membership JSON of who enters; a first pair '' , JSON {kind,name,topic} creates the room
-- Returns {'lost'} | {'gap'} | {'ok', gateway, token, ...}
local head = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'voffset')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] then return {'lost'} end
local offset, visible = tonumber(ARGV[3]), tonumber(head[3])
if offset > visible + 1 then return {'gap'} end
if offset == visible + 1 then
  redis.call('RPUSH', KEYS[3], ARGV[5])
  redis.call('LTRIM', KEYS[3], -tonumber(ARGV[6]), -1)
  redis.call('HSET', KEYS[1], 'voffset', ARGV[3], 'vseq', ARGV[4])
  if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[1], 'last', ARGV[5])
    local raw = redis.call('HGET', KEYS[2], ARGV[8])
    if raw then
      redis.call('HSET', KEYS[2], ARGV[8], (string.gsub(raw, '"read_seq":%d+', '"read_seq":' .. ARGV[7])))
    end
  end
  for i = 9, #ARGV, 2 do
    if ARGV[i] == '' then
      local facts = cjson.decode(ARGV[i + 1])
      redis.call('HSET', KEYS[1], 'state', 'live')
      for name, value in pairs(facts) do redis.call('HSET', KEYS[1], name, value) end
      redis.call('PERSIST', KEYS[1])
    else
      redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
  end
end
redis.call('HSET', KEYS[4], 'done', '1')
local answer = redis.call('HGETALL', KEYS[5])
table.insert(answer, 1, 'ok')
return answer
