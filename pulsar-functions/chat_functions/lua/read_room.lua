-- READ: a room for somebody who reads in it, a member or not: all may read in a channel, and the system everywhere.
-- KEYS head, members, banned, recent
-- ARGV run_id, user, 1 for the system, 1 if the last events are wanted
-- Returns {'lost'} | {'no_room'} | {'no_member'} |
--   {'open', epoch, voffset, vseq, history, Membership JSON or '', events...}
local head = redis.call('HMGET', KEYS[1], 'run', 'state', 'epoch', 'voffset', 'vseq', 'kind', 'history')
if head[1] ~= ARGV[1] then return {'lost'} end
if head[2] == 'absent' then return {'no_room'} end
local member = redis.call('HGET', KEYS[2], ARGV[2])
if not member and ARGV[3] ~= '1' then
  if head[6] == 'direct' then return {'no_room'} end -- as in NUMBER
  if head[6] ~= 'channel' or redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 1 then return {'no_member'} end
end
local answer = {'open', head[3], head[4], head[5], head[7] or '', member or ''}
if ARGV[4] == '1' then
  for _, event in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do table.insert(answer, event) end
end
return answer
