#!lua
--- @include "lib/log-keys"
--- @include "lib/clock"
--[[ Makes an empty log for one partition; one that is there already stays as it is.
     KEYS    1 partition
     ARGV    none
     Returns { 'OK' }
     Errors  none ]]
if redis.call('EXISTS', log.partition) == 0 then
  redis.call('HSET', log.partition, 'start', 0, 'next', 0, 'total', 0, 'trimmed', 0, 'created_at', now_ms)
end
return { 'OK' }
