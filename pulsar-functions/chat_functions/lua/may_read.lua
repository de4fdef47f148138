-- MAY_READ: does this move the reader's mark? A mark only rises; it takes no number.
-- KEYS head, members   ARGV run_id, reader, seq
-- Returns {'lost'} | {'no_room'} | {'refused', code} | {'read'} nothing to move | {'mark', epoch, voffset}
local head = redis.call('HMGET', KEYS[1], 'run', 'state', 'epoch', 'voffset', 'vseq', 'kind')
if head[1] ~= ARGV[1] then return {'lost'} end
if head[2] == 'absent' then return {'no_room'} end
local raw = redis.call('HGET', KEYS[2], ARGV[2])
if not raw and head[6] == 'direct' then return {'no_room'} end -- as in NUMBER
if not raw then return {'refused', 403} end
if tonumber(ARGV[3]) > tonumber(head[5]) then return {'refused', 401} end
if tonumber(ARGV[3]) <= cjson.decode(raw).read_seq then return {'read'} end
return {'mark', head[3], head[4]}
