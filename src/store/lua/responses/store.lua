#!lua flags=allow-oom
--- @include "lib/idempotency"
--[[ Keeps the response to a request with an Idempotency-Key when all of its steps are done. Let through at the memory limit: the
     change was made, and a repeat must find it.
     KEYS    1 root
     ARGV    1 id of the record  2 fingerprint of the request  3 limits (lib/record-quota.lua)  4 the response
     Returns { 'OK' }
     Errors  none ]]
idempotency.keep(ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'response')
return { 'OK' }
