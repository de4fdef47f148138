-- COMMIT: the event is durable in the log; make it visible. Refuses another epoch or Redis run, and a hole.
-- KEYS head, members, recent, key, interest, banned
-- ARGV run_id, epoch, offset, seq, event JSON, length of recent, it is a message (1|''), actor,
--      seq of the message that it edits or deletes ('' none), then triples of what it changes of the room:
--      create|facts '' JSON of head fields; enter user Membership JSON; change user JSON of fields;
--      leave|ban|unban user ''
-- Returns {'lost'} | {'gap'} | {'ok', gateway, token, ...}
local head = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'voffset', 'vseq')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] then return {'lost'} end
local offset, visible = tonumber(ARGV[3]), tonumber(head[3])
if offset > visible + 1 then return {'gap'} end

local function count_owner(raw, by)
  if raw and cjson.decode(raw).role == 'owner' then redis.call('HINCRBY', KEYS[1], 'owners', by) end
end
local function put(user, raw)
  count_owner(redis.call('HGET', KEYS[2], user), -1)
  if raw then redis.call('HSET', KEYS[2], user, raw) else redis.call('HDEL', KEYS[2], user) end
  count_owner(raw, 1)
end
local function change(what, user, value)
  if what == 'create' or what == 'facts' then
    for name, fact in pairs(cjson.decode(value)) do redis.call('HSET', KEYS[1], name, fact) end
    if what == 'create' then
      redis.call('HSET', KEYS[1], 'state', 'live')
      redis.call('PERSIST', KEYS[1])
    end
  elseif what == 'enter' then
    put(user, value)
  elseif what == 'leave' then
    put(user, nil)
  elseif what == 'ban' then
    put(user, nil)
    redis.call('SADD', KEYS[6], user)
  elseif what == 'unban' then
    redis.call('SREM', KEYS[6], user)
  elseif what == 'change' then
    local raw = redis.call('HGET', KEYS[2], user)
    if raw then
      local member = cjson.decode(raw)
      for name, field in pairs(cjson.decode(value)) do member[name] = field end
      put(user, cjson.encode(member))
    end
  end
end

if offset == visible + 1 then
  local kept = redis.call('RPUSH', KEYS[3], ARGV[5])
  local bytes = redis.call('HINCRBY', KEYS[1], 'recent_bytes', #ARGV[5])
  -- Not more than so many, nor than as many of 2 KiB would take: whoever reads in the room reads them all.
  while kept > 1 and (kept > tonumber(ARGV[6]) or bytes > tonumber(ARGV[6]) * 2048) do
    bytes = redis.call('HINCRBY', KEYS[1], 'recent_bytes', -#redis.call('LPOP', KEYS[3]))
    kept = kept - 1
  end
  redis.call('HSET', KEYS[1], 'voffset', ARGV[3], 'vseq', ARGV[4])
  if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[1], 'last', ARGV[5])
    local raw = redis.call('HGET', KEYS[2], ARGV[8])
    if raw then
      redis.call('HSET', KEYS[2], ARGV[8], (string.gsub(raw, '"read_seq":%d+', '"read_seq":' .. ARGV[4])))
    end
  elseif ARGV[9] ~= '' and ARGV[9] == head[4] then
    redis.call('HSET', KEYS[1], 'last_change', ARGV[5])
  end
  for i = 10, #ARGV, 3 do change(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
end
redis.call('HSET', KEYS[4], 'done', '1')
local answer = redis.call('HGETALL', KEYS[5])
table.insert(answer, 1, 'ok')
return answer
