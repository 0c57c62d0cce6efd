#!lua flags=allow-oom
--- @include "lib/log-fence"
--- @include "lib/log-results"
--[[ Deletes a fence: the next token of its name is accepted, whatever it is. Runs at the memory limit, as it frees memory.

     KEYS    1 partition
     ARGV    1 name of the fence  2 Idempotency-Key, or ''  3 fingerprint of the request
             4 limits of stored results (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0) }
     Errors  UNKNOWN_TOPIC, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored results), NOT_FOUND ]]
local name, key, fingerprint, result_limits = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('EXISTS', log.partition) == 0 then return log.unknown() end
if key ~= '' then
  local outcome = results.find(key, fingerprint) or results.full(result_limits)
  if outcome then return outcome[1] == 'OK' and { 'OK', 1 } or outcome end
end
local known = fence.find(name)
redis.call('HDEL', log.fences, name)
redis.call('ZREM', log.fence_uses, name)
if not known then
  return { 'NOT_FOUND', 'This partition has no fence ' .. name .. ': no token of that name was sent, or it has expired or was deleted.', 'fence', name }
end
if key ~= '' then results.store(key, fingerprint, result_limits, 0, 0, 0) end
return { 'OK', 0 }
