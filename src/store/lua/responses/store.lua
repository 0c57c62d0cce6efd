#!lua flags=allow-oom
--- @include "lib/idempotency"
--[[ Stores the response to a request with an Idempotency-Key, once all steps of the request are done. Runs at the memory
     limit: the change was made, and a repeat must find its response.

     KEYS    1 root
     ARGV    1 record id of the key  2 fingerprint of the request  3 limits of stored responses (lib/record-quota.lua)
             4 response
     Returns { 'OK' }
     Errors  none ]]
local record_id, fingerprint, response_limits, response = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

idempotency.store(record_id, fingerprint, response_limits, response, 'response')
return { 'OK' }
