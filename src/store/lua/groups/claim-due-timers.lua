#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/clock"
--[[ Claims timers that are due, for a while: who claims one acts on it and cancels it with what it does. If the broker
     dies before that, the timer is due again when the claim is over.
     KEYS    1 root
     ARGV    1 how long the claim holds, ms  2 most timers
     Returns { 'OK', name, … }
     Errors  none ]]
local names = redis.call('ZRANGE', keys.timers, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[2]))
for _, name in ipairs(names) do redis.call('ZADD', keys.timers, now_ms + tonumber(ARGV[1]), name) end
table.insert(names, 1, 'OK')
return names
