-- create, update
if operation == 'create' then
  if me then return {'refused', 103} end
  if not absent then return {'exists'} end
  if head[4] ~= '0' then return {'lost'} end
elseif kind ~= 'direct' and RANK[me.role] < RANK.moderator then
  return {'refused', 103}
end
