#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/clock"
--[[ Claims timers that are due: the claimant acts on each, and cancels it in the same commit. If its broker dies before
     that, the timer is due again when the claim expires.

     KEYS    1 root
     ARGV    1 time until the claim expires, ms  2 most timers
     Returns { 'OK', timer, … }
     Errors  none ]]
local claim_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local names = redis.call('ZRANGE', keys.timers, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, limit)
for _, name in ipairs(names) do redis.call('ZADD', keys.timers, now_ms + claim_ms, name) end
table.insert(names, 1, 'OK')
return names
