-- edit, delete, react, unreact: of the message with a seq. What counts is the newest that the recent events tell of it,
-- and for what they do not reach, Cassandra.
-- KEYS recent, reactions
-- ARGV seq, what Cassandra knows of it ('' not asked, '-' nothing, JSON {author, deleted, expires}), emoji ('' none),
--      how often a user may react in a day ('' none)
local wanted = tonumber(ARGV[11])
if wanted < 1 or wanted > tonumber(redis.call('HGET', KEYS[1], 'vseq')) then return {'refused', 401} end
local target, reaction
-- Of a popular message there may be hundreds of reactions: only those are decoded that can matter. Within strings quotes
-- are escaped, so what is looked for is found nowhere else.
local about, mine = '"seq":' .. ARGV[11], '"actor":"' .. actor .. '"'
local function matters(event)
  if not string.find(event, about, 1, true) then return false end
  return string.find(event, '"type":"message_sent"', 1, true) or string.find(event, '"type":"message_deleted"', 1, true)
    or ARGV[13] ~= '' and not reaction and string.find(event, mine, 1, true)
end
local kept, looked = redis.call('LLEN', KEYS[5]), 0
while not target and looked < kept do
  local some = redis.call('LRANGE', KEYS[5], -looked - 50, -looked - 1)
  for place = #some, 1, -1 do
    if not target and matters(some[place]) then
      local event = cjson.decode(some[place])
      if event.seq == wanted then
        if event.type == 'message_sent' then
          target = {author = event.actor, expires = event.expires}
        elseif event.type == 'message_deleted' then
          target = {deleted = true}
        elseif event.emoji and event.emoji == ARGV[13] and event.actor == actor and not reaction then
          reaction = event
        end
      end
    end
  end
  looked = looked + 50
end
if not target then
  if ARGV[12] == '' then return {'message'} end
  if ARGV[12] == '-' then return {'refused', 401} end
  if ARGV[12] == '?' then return {'refused', 100} end
  target = cjson.decode(ARGV[12])
end
if target.deleted then return {'refused', operation == 'edit' and 408 or 401} end
if operation == 'delete' then
  if target.author ~= actor and RANK[me.role] < RANK.moderator then return {'refused', 103} end
else
  if operation == 'edit' and target.author ~= actor then return {'refused', 103} end
  if operation ~= 'unreact' and me.muted_until and me.muted_until > now then return {'refused', 405} end
  if reaction and reaction.type == (operation == 'react' and 'reaction_added' or 'reaction_removed') then
    return same(reaction)
  end
  if operation ~= 'edit' and me.role ~= 'system' then
    local limit = tonumber(ARGV[14])
    local often = redis.call('HINCRBY', KEYS[6], ARGV[11] .. ':' .. actor, 1)
    local in_room = redis.call('HINCRBY', KEYS[6], actor, 1)
    if redis.call('PTTL', KEYS[6]) < 0 then redis.call('PEXPIRE', KEYS[6], 86400000) end
    if often > limit or in_room > 20 * limit then return {'refused', 106} end
  end
end
expires = target.expires or 0
