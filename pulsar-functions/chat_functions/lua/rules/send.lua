-- send   ARGV seq of the message that it answers ('' none)
if me.muted_until and me.muted_until > now then return {'refused', 405} end
if ARGV[11] ~= '' and (tonumber(ARGV[11]) < 1 or tonumber(ARGV[11]) > tonumber(head[5])) then return {'refused', 401} end
step = 1
if head[9] and head[9] ~= '0' then expires = now + head[9] * 86400000 end
