--- @include "lib/log"
--- @include "lib/record-quota"
--[[ Results of requests with an Idempotency-Key in one log (src/store/keys.ts: idempotency), so that a repeat gets the first
     one. `limits` is a text as lib/record-quota.lua reads it. ]]
local results = {}

--- The first result { 'OK', replayed, base offset, count, time in ms, partitions }, or an error, or nil if the key is new.
function results.find(key, fingerprint)
  local stored = redis.call('GET', log.idempotency(key))
  if not stored then return nil end
  local first, base, count, time, partitions = string.match(stored, '^(%S+) ?(%-?%d*) ?(%d*) ?(%d*) ?(%d*)$')
  if first ~= fingerprint then return log.key_reused() end
  if base == '' then return nil end
  return { 'OK', 1, tonumber(base), tonumber(count), tonumber(time), tonumber(partitions) or 0 }
end

--- The error that no more results are stored here, or nil.
function results.full(limits)
  limits = quota.limits(limits)
  if quota.has(log.responses, limits) then return nil end
  return {
    'TOO_MANY_REQUESTS',
    'The results that this partition stores for requests with an Idempotency-Key are at their limit of ' .. whole(limits.count)
      .. ' or ' .. whole(limits.bytes) .. ' bytes; each is stored for ' .. whole(limits.ttl_ms / 60000)
      .. ' minutes. Nothing was done: try again later, put more records into a request, or name a producer instead.',
    'responsesMax', exact(limits.count),
    'bytesMax', exact(limits.bytes),
  }
end

function results.store(key, fingerprint, limits, base, count, partitions)
  limits = quota.limits(limits)
  local name = log.idempotency(key)
  local stored = table.concat({ fingerprint, whole(base), whole(count), whole(now_ms), whole(partitions) }, ' ')
  local before = redis.call('STRLEN', name)
  redis.call('SET', name, stored, 'PX', whole(limits.ttl_ms))
  quota.take(log.responses, limits, #key + #stored, before > 0 and #key + before)
end
