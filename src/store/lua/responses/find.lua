#!lua
--- @include "lib/idempotency"
--[[ Looks for the response to an earlier request with the same Idempotency-Key.

     KEYS    1 root
     ARGV    1 record id of the key  2 fingerprint of the request  3 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', 'new' }: the key was not used before
             { 'OK', 'changed', what was stored with the change, or '' }: the change was made; its response is not stored (yet)
             { 'OK', 'stored', response }
     Errors  IDEMPOTENCY_KEY_REUSED; TOO_MANY_REQUESTS (stored responses), if the key is new ]]
local record_id, fingerprint, response_limits = ARGV[1], ARGV[2], ARGV[3]

local record, problem = idempotency.record(record_id, fingerprint, response_limits)
if problem then return problem end
if not record then return { 'OK', 'new' } end
if not record.response then
  local stored = record.reply[3]
  return { 'OK', 'changed', type(stored) == 'string' and stored or '' }
end
return { 'OK', 'stored', record.response }
