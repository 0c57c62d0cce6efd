#!lua
--- @include "lib/log"
--[[ Notes that an Idempotency-Key stands for one request, in the partition that the key itself leads to, before the
     request appends to other partitions: so another request with the same key is known, wherever its records go.
     KEYS    1 partition
     ARGV    1 idempotency key  2 fingerprint of the request  3 how long to keep it, ms
     Returns { 'OK' }
     Errors  UNKNOWN_TOPIC, IDEMPOTENCY_KEY_REUSED ]]
if redis.call('EXISTS', log.partition) == 0 then return log.unknown() end
local kept = redis.call('GET', log.idempotency(ARGV[1]))
if kept and string.match(kept, '^%S+') ~= ARGV[2] then return log.key_reused(ARGV[1]) end
if not kept then redis.call('SET', log.idempotency(ARGV[1]), ARGV[2], 'PX', ARGV[3]) end
return { 'OK' }
