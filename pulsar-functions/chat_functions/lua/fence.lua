-- FENCE: before a lost room is rebuilt under a new epoch, nobody may commit under an older one any more: what is
-- published behind the marker under an older epoch is void. For all other scripts the room is lost from here on.
-- One rebuilds at a time; who has not said for a while that it still does (HOLD) is taken for dead.
-- KEYS head   ARGV run_id, epoch at least, age ms, epoch in which the room is stuck ('' it is not: it is lost)
-- Returns {'there', 1 if the room exists} | {'held'} by somebody else | {'mine', epoch}
local head = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'state', 'fence', 'fence_at', 'offset')
-- Of a room that was numbered, and never came to be, nobody knows what became of its first command.
local half_made = head[3] == 'absent' and head[6] ~= '0'
if head[1] == ARGV[1] and not half_made and (ARGV[4] == '' or head[2] ~= ARGV[4]) then
  return {'there', head[3] == 'absent' and 0 or 1}
end
local time, mine, epoch = redis.call('TIME'), 'fence:' .. ARGV[1], tonumber(ARGV[2])
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if head[1] == mine then
  if math.abs(now - tonumber(head[5])) < tonumber(ARGV[3]) then return {'held'} end
  epoch = math.max(epoch, tonumber(head[4]) + 1)
end
redis.call('HSET', KEYS[1], 'run', mine, 'fence', string.format('%.0f', epoch), 'fence_at', string.format('%.0f', now))
if not head[2] then redis.call('PEXPIRE', KEYS[1], 3600000) end -- nothing but the fence
return {'mine', string.format('%.0f', epoch)}
