-- join, leave, add, remove, role, mute, ban, unban. Nobody acts on somebody of an equal or higher role.
-- KEYS (recent, reactions,) muted
-- ARGV user whom it is about, role ('' none), member limit
if kind == 'direct' then return {'refused', 103} end
local user, role = ARGV[11], ARGV[12]
local there = redis.call('HGET', KEYS[2], user)
local they = there and cjson.decode(there)
local function last_owner() return tonumber(redis.call('HGET', KEYS[1], 'owners') or '0') <= 1 end

if operation == 'join' or operation == 'add' then
  if operation == 'join' then
    if me or kind ~= 'channel' then return {'refused', 103} end
    if tonumber(redis.call('HGET', KEYS[7], user) or '0') > now then return {'refused', 405} end
  elseif RANK[me.role] < RANK.moderator or (me.role == 'moderator' and role ~= 'member') then
    return {'refused', 103}
  end
  if they then return same(they) end
  if redis.call('SISMEMBER', KEYS[4], user) == 1 then return {'refused', 406} end
  if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[13]) then return {'refused', 404} end
elseif operation == 'leave' then
  if me.role == 'system' then return {'refused', 103} end
  local deserted = kind == 'channel' or redis.call('HLEN', KEYS[2]) > 1
  if me.role == 'owner' and deserted and last_owner() then return {'refused', 407} end
  if kind == 'channel' and me.muted_until and me.muted_until > now then -- or they would come back and be heard
    redis.call('HSET', KEYS[7], user, me.muted_until)
    redis.call('PEXPIRE', KEYS[7], math.max(redis.call('PTTL', KEYS[7]), math.min(me.muted_until - now, 2592000000)))
  end
elseif operation == 'role' and user == actor then
  if me.role == role then return same(me) end
  if RANK[role] > RANK[me.role] then return {'refused', 103} end
  if me.role == 'owner' and last_owner() then return {'refused', 407} end
else
  local least = operation == 'role' and RANK.owner or RANK.moderator
  if RANK[me.role] < least or (they and RANK[they.role] >= RANK[me.role]) then return {'refused', 103} end
  if operation == 'unban' and redis.call('SISMEMBER', KEYS[4], user) == 0 then return {'refused', 402} end
  if operation ~= 'ban' and operation ~= 'unban' and not they then return {'refused', 402} end
  if operation == 'role' and they.role == role then return same(they) end
end
