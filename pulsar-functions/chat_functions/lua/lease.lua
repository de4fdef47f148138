-- LEASE: may this cached copy be used? If not, take a lease to fill it. Whoever changes the truth deletes the key and the
-- lease with it; so all who read the truth under one lease have read what counts, and share it.
-- KEYS copy   ARGV run_id, lease to take, ttl ms of an unfilled lease, keep (1: fields that others have added stay)
-- Returns {'filled', field, value, ...} or {'lease', the lease}
local filled = redis.call('HMGET', KEYS[1], '~run', '~filled', '~lease')
if filled[1] == ARGV[1] and filled[2] == '1' then
  local answer = redis.call('HGETALL', KEYS[1])
  table.insert(answer, 1, 'filled')
  return answer
end
if filled[1] == ARGV[1] and filled[3] then return {'lease', filled[3]} end
if ARGV[4] ~= '1' or (filled[1] and filled[1] ~= ARGV[1]) then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], '~run', ARGV[1], '~lease', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'lease', ARGV[2]}
