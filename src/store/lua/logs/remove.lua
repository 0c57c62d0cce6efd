#!lua flags=allow-oom
--- @include "lib/log-keys"
--[[ Removes the log of one partition. Its kept answers expire by themselves. Memory is freed behind the scenes, however
     large the log is. Let through at the memory limit, as it only makes room.
     KEYS    1 partition
     ARGV    none
     Returns { 'OK' }
     Errors  none ]]
redis.call('UNLINK', log.partition, log.batches, log.compacted, log.fences, log.producers, log.replicated)
return { 'OK' }
