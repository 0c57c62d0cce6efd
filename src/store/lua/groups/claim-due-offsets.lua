#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/clock"
--[[ Claims groups whose oldest committed offset may have been of no use for long enough, for a while: who claims one looks
     into it (groups/expire-offsets.lua). If the broker dies before that, it is claimed again when the claim is over.
     KEYS    1 root
     ARGV    1 how long offsets are kept, ms  2 how long the claim holds, ms  3 most groups
     Returns { 'OK', group, … }
     Errors  none ]]
local retention_ms, claim_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local names = redis.call('ZRANGE', keys.offset_ages, '-inf', now_ms - retention_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[3]))
for _, name in ipairs(names) do redis.call('ZADD', keys.offset_ages, now_ms - retention_ms + claim_ms, name) end
table.insert(names, 1, 'OK')
return names
