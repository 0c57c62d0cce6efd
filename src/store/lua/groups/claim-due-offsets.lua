#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/clock"
--[[ Claims groups whose oldest committed offset may have expired: the claimant checks each (groups/expire-offsets.lua). If
     its broker dies before that, the group is due again when the claim expires.

     KEYS    1 root
     ARGV    1 retention of offsets, ms  2 time until the claim expires, ms  3 most groups
     Returns { 'OK', group, … }
     Errors  none ]]
local retention_ms, claim_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local names = redis.call('ZRANGE', keys.offset_ages, '-inf', now_ms - retention_ms, 'BYSCORE', 'LIMIT', 0, limit)
for _, name in ipairs(names) do redis.call('ZADD', keys.offset_ages, now_ms - retention_ms + claim_ms, name) end
table.insert(names, 1, 'OK')
return names
