-- OPEN: one room of a session. Writes the gateway's interest first, then reads: nothing falls between.
-- KEYS head, members, recent, interest
-- ARGV run_id, user, gateway, token ('' only looks, no interest), epoch, offset ('' '' when the client recovers nothing)
-- Returns {'lost'} | {'no_room'} | {'no_member', kind} |
--   {'open', epoch, voffset, vseq, kind, name, topic, last, Membership JSON, member count, was recovering, recovered, events...}
local head = redis.call('HMGET', KEYS[1], 'run', 'state', 'epoch', 'voffset', 'vseq', 'kind', 'name', 'topic', 'last')
if head[1] ~= ARGV[1] then return {'lost'} end
if head[2] == 'absent' then return {'no_room'} end
local member = redis.call('HGET', KEYS[2], ARGV[2])
if not member then return {'no_member', head[6]} end
if ARGV[4] ~= '' then
  local held = redis.call('HGET', KEYS[4], ARGV[3])
  if not held or tonumber(held) < tonumber(ARGV[4]) then redis.call('HSET', KEYS[4], ARGV[3], ARGV[4]) end
end
local answer = {'open', head[3], head[4], head[5], head[6], head[7] or '', head[8] or '', head[9] or '', member,
  redis.call('HLEN', KEYS[2]), 0, 0}
if ARGV[6] ~= '' then
  answer[11] = 1
  local missed = tonumber(head[4]) - tonumber(ARGV[6])
  if ARGV[5] == head[3] and missed >= 0 and missed <= redis.call('LLEN', KEYS[3]) then
    answer[12] = 1
    if missed > 0 then
      for _, event in ipairs(redis.call('LRANGE', KEYS[3], -missed, -1)) do table.insert(answer, event) end
    end
  end
end
return answer
