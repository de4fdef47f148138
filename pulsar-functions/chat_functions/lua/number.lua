-- NUMBER: may this command happen, and under which numbers? Assigns the next ones, pending until COMMIT.
-- One script for each file in rules/, which stands where the marker is; so rules and numbers are one step, and a send
-- carries no other rules. rules/*.lua say which ARGV from 11 on, and which KEYS from 5 on, are theirs.
-- KEYS head, members, key, banned
-- ARGV run_id, now ms, operation, actor, digest, origin, epoch in which Cassandra was asked for the key ('' not),
--      key ttl ms, when the key was made (ms, 0 if so long ago that Redis may have forgotten it), what the router found
--      out about limits and named users (an error code, '' nothing)
-- A known key gets its first numbers again, whatever the rules say now; only pending ones of this epoch or done ones
-- count as known. A command that was refused is refused when it comes again (by its origin, for a quarter of an hour), whatever has
-- changed: its sender was told so. A client's repeat of it is another one. Whether it is known could not be told (100): then no rule is asked, which might find it done by itself.
-- Returns {outcome, ...}; see numbering.py for the shapes.
local head = redis.call('HMGET', KEYS[1], 'run', 'state', 'epoch', 'offset', 'seq', 'look_up_until', 'kind', 'voffset',
  'retention_days')
if head[1] ~= ARGV[1] then return {'lost'} end
local operation, actor, now, kind = ARGV[3], ARGV[4], tonumber(ARGV[2]), head[7]
local absent = head[2] == 'absent'
if absent and operation ~= 'create' then return {'no_room'} end

local known = redis.call('HMGET', KEYS[3], 'epoch', 'offset', 'seq', 'time', 'digest', 'done', 'origin', 'expires',
  'same', 'refused')
if known[10] and string.sub(known[10], 5) == ARGV[6] then return {'refused', tonumber(string.sub(known[10], 1, 3))} end
local function refused(code)
  if code ~= 100 and not known[1] then
    redis.call('HSET', KEYS[3], 'refused', code .. ' ' .. ARGV[6])
    redis.call('PEXPIRE', KEYS[3], 900000)
  end
  return {'refused', code}
end
if known[1] and (known[6] == '1' or known[1] == head[3]) then
  if known[5] ~= ARGV[5] then return {'conflict'} end
  if known[9] then return {'same', known[2], known[4]} end
  local outcome = known[6] == '1' and 'done' or 'pending'
  return {outcome, known[1], known[2], known[3], known[4], head[8], known[7] == ARGV[6] and 0 or 1, known[8] or 0}
end
local made = tonumber(ARGV[9])
if ARGV[7] ~= head[3] and (made == 0 or made < tonumber(head[6] or '0')) then return {'look_up', head[3]} end
if ARGV[10] == '100' then return {'refused', 100} end

local RANK = {member = 1, moderator = 2, owner = 3, system = 4}
local me
if actor == '00000000-0000-0000-0000-000000000000' then
  me = {role = 'system'}
elseif operation ~= 'create' and (operation ~= 'join' or kind == 'direct') then
  local raw = redis.call('HGET', KEYS[2], actor)
  -- Its id can be worked out: that two people talk is nobody else's business, so for others their room is not there.
  if not raw and kind == 'direct' then return {'no_room'} end
  if not raw then return refused(redis.call('SISMEMBER', KEYS[4], actor) == 1 and 406 or 403) end
  me = cjson.decode(raw)
end
local step, expires = 0, 0
-- There is nothing to change: an earlier event had done it. The key remembers, or a repeat might do it later.
local function same(event)
  redis.call('HSET', KEYS[3], 'epoch', head[3], 'offset', event.offset, 'seq', 0, 'time', event.time, 'digest', ARGV[5],
    'done', '1', 'same', '1')
  redis.call('PEXPIRE', KEYS[3], ARGV[8])
  return {'same', event.offset, event.time}
end
local function judge()
--@rules
end
local verdict = judge() or ARGV[10] ~= '' and {'refused', tonumber(ARGV[10])}
if verdict then return verdict[1] == 'refused' and refused(verdict[2]) or verdict end

local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
local seq = head[5]
if step == 1 then seq = redis.call('HINCRBY', KEYS[1], 'seq', 1) end
redis.call('HSET', KEYS[3], 'epoch', head[3], 'offset', offset, 'seq', seq, 'time', ARGV[2], 'digest', ARGV[5], 'origin', ARGV[6])
if expires > 0 then redis.call('HSET', KEYS[3], 'expires', expires) end
redis.call('PEXPIRE', KEYS[3], ARGV[8])
return {'new', head[3], tostring(offset), tostring(seq), ARGV[2], head[8], 0, expires}
