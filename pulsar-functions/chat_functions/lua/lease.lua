-- LEASE: may this cached copy be used? If not, take a lease to fill it: only the holder of the last lease may, and
-- whoever changes the truth deletes the key and the lease with it.
-- KEYS copy   ARGV run_id, lease, ttl ms of an unfilled lease, keep (1: fields that others have added stay)
-- Returns {'filled', field, value, ...} or {'lease'}
local filled = redis.call('HMGET', KEYS[1], '~run', '~filled')
if filled[1] == ARGV[1] and filled[2] == '1' then
  local answer = redis.call('HGETALL', KEYS[1])
  table.insert(answer, 1, 'filled')
  return answer
end
if ARGV[4] ~= '1' or (filled[1] and filled[1] ~= ARGV[1]) then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], '~run', ARGV[1], '~lease', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'lease'}
