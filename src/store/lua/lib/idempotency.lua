--- @include "lib/keys"
--- @include "lib/record-quota"
--- @include "lib/late"
--[[ Records of requests that carry an Idempotency-Key, so that a repeat after a lost response gets the first one. A record is found
     by a hash of the key (src/store/sealed-response.ts). Only success is stored: a failure changed nothing, and may be tried
     again. A record (cmsgpack) has these fields:

       fingerprint   of the request: another request with the same key is refused
       reply         the reply of the script that made the change, written together with the change
       response      the response to the client, if it is more than the reply, written when all steps are done

     So a record with only a reply belongs to a request whose change was made, and whose other steps may be missing: a repeat
     continues from there (docs/adr/007). `limits` is a text as lib/record-quota.lua reads it. ]]
local idempotency = {}

late(idempotency, function()
  local function stored_record(id)
    local stored = redis.call('GET', keys.response(id))
    return stored and cmsgpack.unpack(stored), stored and #stored
  end

  --- Returns the record, or nil if the key is new (or ''); or nil and an error, if the key was used for another request, or
  --- no more records are stored.
  function idempotency.record(id, fingerprint, limits)
    if id == '' then return nil end
    local record = stored_record(id)
    if record and record.fingerprint ~= fingerprint then
      return nil, {
        'IDEMPOTENCY_KEY_REUSED',
        'This Idempotency-Key was used for another request in the last minutes; use a new key.',
      }
    end
    if record then return record end
    limits = quota.limits(limits)
    if not quota.has(keys.responses, limits) then
      return nil, {
        'TOO_MANY_REQUESTS',
        'The responses stored for requests with an Idempotency-Key are at their limit of ' .. whole(limits.count) .. ' or '
          .. whole(limits.bytes) .. ' bytes; each is stored for ' .. whole(limits.ttl_ms / 60000)
          .. ' minutes. Nothing was done: try again later, or send the request without a key.',
        'responsesMax', exact(limits.count),
        'bytesMax', exact(limits.bytes),
      }
    end
    return nil
  end

  --- Returns the first reply marked as replayed, or an error reply, or nil if the key is new (or '').
  function idempotency.find(id, fingerprint, limits)
    local record, problem = idempotency.record(id, fingerprint, limits)
    if problem then return problem end
    if not record or not record.reply then return nil end
    record.reply[2] = 1
    return record.reply
  end

  --- Stores a field of the record: `reply`, whose second element is the flag "replayed", or `response`, a text.
  function idempotency.store(id, fingerprint, limits, value, field)
    if id == '' then return end
    limits = quota.limits(limits)
    local record, before = stored_record(id)
    if not record or record.fingerprint ~= fingerprint then record = { fingerprint = fingerprint } end
    record[field or 'reply'] = value
    local packed = cmsgpack.pack(record)
    redis.call('SET', keys.response(id), packed, 'PX', whole(limits.ttl_ms))
    quota.take(keys.responses, limits, #id + #packed, before and #id + before)
  end
end)
