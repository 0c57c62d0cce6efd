#!lua flags=allow-oom
--- @include "lib/log-keys"
--[[ Removes the log of one partition. Its kept answers expire by themselves. Memory is freed behind the scenes, however
     large the log is. Let through at the memory limit, as it only makes room.
     KEYS    1 partition
     ARGV    none
     Returns { 'OK' }
     Errors  none ]]
-- Much longer than a call to open it anew (open.lua) may be under way.
local REMOVED_MS = 60000
redis.call('UNLINK', log.partition, log.batches, log.compacted, log.fences, log.fence_uses, log.producers, log.responses, log.replicated)
redis.call('SET', log.removed, '', 'PX', REMOVED_MS)
return { 'OK' }
