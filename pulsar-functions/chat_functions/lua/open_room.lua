-- OPEN: one room of a session. Writes the gateway's interest first, then reads: nothing falls between.
-- KEYS head, members, recent, interest, banned
-- ARGV run_id, user, gateway, token ('' only looks, no interest), epoch, offset ('' '' when the client recovers nothing),
--      1 if whoever is no member may look as well, which in a channel all may who are not banned; 2 for the system,
--      the bytes that what it missed may have to come along
-- Returns {'lost'} | {'no_room'} | {'no_member', kind} |
--   {'open', epoch, voffset, vseq, kind, name, topic, last, presence, retention_days, history, last_change,
--    Membership JSON or '', member count, was recovering,
--    recovered (0 no, 1 yes, 2 not with this: too many events or bytes, to be read from the log), bytes of what it missed
--    or at least about so many, events...}
local head = redis.call('HMGET', KEYS[1], 'run', 'state', 'epoch', 'voffset', 'vseq', 'kind', 'name', 'topic', 'last',
  'presence', 'retention_days', 'history', 'last_change', 'recent_bytes')
if head[1] ~= ARGV[1] then return {'lost'} end
if head[2] == 'absent' then return {'no_room'} end
local member = redis.call('HGET', KEYS[2], ARGV[2])
if not member and ARGV[7] ~= '2' then
  if ARGV[7] ~= '1' or head[6] ~= 'channel' then return {'no_member', head[6]} end
  if redis.call('SISMEMBER', KEYS[5], ARGV[2]) == 1 then return {'no_member', head[6]} end
end
if ARGV[4] ~= '' then
  local held = redis.call('HGET', KEYS[4], ARGV[3])
  if not held or tonumber(held) < tonumber(ARGV[4]) then redis.call('HSET', KEYS[4], ARGV[3], ARGV[4]) end
end
local answer = {'open'}
for field = 3, 13 do answer[field - 1] = head[field] or '' end
answer[13], answer[14], answer[15], answer[16], answer[17] = member or '', redis.call('HLEN', KEYS[2]), 0, 0, 0
if ARGV[6] ~= '' then
  answer[15] = 1
  local missed = tonumber(head[4]) - tonumber(ARGV[6])
  if ARGV[5] == head[3] and missed >= 0 then
    local kept, most = redis.call('LLEN', KEYS[3]), tonumber(ARGV[8])
    answer[16] = missed > kept and 2 or 1
    if missed > 0 and kept > 0 then -- of two hundred rooms, all that Redis keeps would be much more than can be sent
      answer[17] = math.floor(tonumber(head[14] or 0) * missed / kept)
    end
    if answer[17] > most then answer[16] = 2 end
    if missed > 0 and answer[16] == 1 then
      local events, bytes = redis.call('LRANGE', KEYS[3], -missed, -1), 0
      for _, event in ipairs(events) do bytes = bytes + #event end
      answer[17] = bytes
      if bytes > most then
        answer[16] = 2
      else
        for _, event in ipairs(events) do table.insert(answer, event) end
      end
    end
  end
end
return answer
