#!lua
--- @include "lib/idempotency"
--[[ Looks for the response to an earlier request with the same Idempotency-Key.
     KEYS    1 root
     ARGV    1 id of the record  2 fingerprint of the request  3 limits (lib/record-quota.lua)
     Returns { 'OK', 'new' } | { 'OK', 'changed', what was kept with the change or '' }: its change was made, its
             response is not kept (yet)
             | { 'OK', 'kept', the response }
     Errors  IDEMPOTENCY_KEY_REUSED; TOO_MANY_REQUESTS if the key is new and no more are taken ]]
local record, problem = idempotency.record(ARGV[1], ARGV[2], ARGV[3])
if problem then return problem end
if not record then return { 'OK', 'new' } end
if not record.response then
  local kept = record.reply[3]
  return { 'OK', 'changed', type(kept) == 'string' and kept or '' }
end
return { 'OK', 'kept', record.response }
