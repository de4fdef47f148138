-- NUMBER: may this command happen, and under which numbers? Assigns the next ones, pending until COMMIT.
-- KEYS head, members, key
-- ARGV run_id, now ms, operation (send|add|create), actor, digest, origin, epoch in which Cassandra was asked for the key ('' not),
--      key ttl ms, member limit, target, key is old (0|1)
-- A known key gets its first numbers again; only pending ones of this epoch or done ones count as known.
-- Returns {outcome, ...}; see numbering.py for the shapes.
local head = redis.call('HMGET', KEYS[1], 'run', 'state', 'epoch', 'offset', 'seq', 'look_up_until', 'kind', 'voffset')
if head[1] ~= ARGV[1] then return {'lost'} end
local operation, now = ARGV[3], tonumber(ARGV[2])
local absent = head[2] == 'absent'
if absent and operation ~= 'create' then return {'no_room'} end

local known = redis.call('HMGET', KEYS[3], 'epoch', 'offset', 'seq', 'time', 'digest', 'done', 'origin')
if known[1] and (known[6] == '1' or known[1] == head[3]) then
  if known[5] ~= ARGV[5] then return {'conflict'} end
  local outcome = known[6] == '1' and 'done' or 'pending'
  return {outcome, known[1], known[2], known[3], known[4], head[8], known[7] == ARGV[6] and 0 or 1}
end

if operation == 'create' then
  if not absent then return {'exists'} end
  if head[4] ~= '0' then return {'lost'} end
else
  local raw = redis.call('HGET', KEYS[2], ARGV[4])
  if not raw then return {'refused', 403} end
  local member = cjson.decode(raw)
  if member.banned then return {'refused', 406} end
  if operation == 'send' then
    if member.muted_until and member.muted_until > now then return {'refused', 405} end
  elseif operation == 'add' then
    if head[7] == 'direct' or member.role == 'member' then return {'refused', 103} end
    local there = redis.call('HGET', KEYS[2], ARGV[10])
    if there then
      local target = cjson.decode(there)
      if target.banned then return {'refused', 406} end
      return {'member', target.offset, target.time}
    end
    if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[9]) then return {'refused', 404} end
  end
end
if ARGV[7] ~= head[3] and (ARGV[11] == '1' or tonumber(head[6] or '0') > now) then return {'look_up', head[3]} end

local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
local seq = head[5]
if operation == 'send' then seq = redis.call('HINCRBY', KEYS[1], 'seq', 1) end
redis.call('HSET', KEYS[3], 'epoch', head[3], 'offset', offset, 'seq', seq, 'time', ARGV[2], 'digest', ARGV[5], 'origin', ARGV[6])
redis.call('PEXPIRE', KEYS[3], ARGV[8])
return {'new', head[3], tostring(offset), tostring(seq), ARGV[2], head[8], 0}
