-- SEED: a rebuilt room, exact as message-store left it, takes its place. Only behind the fence of that very epoch: where
-- somebody else has fenced it off since, or Redis was lost again, this is not the end of its log any more.
-- KEYS head, members, prepared members, recent, banned, prepared banned
-- ARGV run_id, epoch, offset, seq, state, look_up_until ms, ttl ms ('' for none), count of recent events, these events,
--      then pairs of further head fields
-- Returns 1, or 0 if that is not so
local head = redis.call('HMGET', KEYS[1], 'run', 'fence')
if head[1] ~= 'fence:' .. ARGV[1] or head[2] ~= ARGV[2] then
  redis.call('DEL', KEYS[3], KEYS[6])
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4], KEYS[5])
for place = 2, 5, 3 do
  if redis.call('EXISTS', KEYS[place + 1]) == 1 then redis.call('RENAME', KEYS[place + 1], KEYS[place]) end
  redis.call('PERSIST', KEYS[place])
end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'epoch', ARGV[2], 'offset', ARGV[3], 'seq', ARGV[4],
  'voffset', ARGV[3], 'vseq', ARGV[4], 'state', ARGV[5], 'look_up_until', ARGV[6])
local events, bytes = tonumber(ARGV[8]), 0
for i = 9, 8 + events do
  redis.call('RPUSH', KEYS[4], ARGV[i])
  bytes = bytes + #ARGV[i]
end
redis.call('HSET', KEYS[1], 'recent_bytes', bytes)
for i = 9 + events, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[7] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[7]) end
return 1
