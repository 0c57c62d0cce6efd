--- @include "lib/keys"
--[[ Answers kept for requests that carry an Idempotency-Key, so that a retry after a lost reply gets the first one.
     Only success is kept: a failure changed nothing, and may be tried again. ]]
local idempotency = {}

--- The first answer, or an error reply if the key was used for another request, or nil if the key is new (or '').
function idempotency.find(key, fingerprint)
  if key == '' then return nil end
  local kept = redis.call('GET', keys.idempotency(key))
  if not kept then return nil end
  local entry = cmsgpack.unpack(kept)
  if entry.fingerprint ~= fingerprint then
    return {
      'IDEMPOTENCY_KEY_REUSED',
      'Idempotency-Key ' .. key .. ' was used for another request in the last minutes; use a new key.',
    }
  end
  entry.reply[2] = 1
  return entry.reply
end

--- Keeps `reply`, whose second element is the flag "replayed".
function idempotency.keep(key, fingerprint, ttl_ms, reply)
  if key == '' then return end
  redis.call('SET', keys.idempotency(key), cmsgpack.pack({ fingerprint = fingerprint, reply = reply }), 'PX', ttl_ms)
end
