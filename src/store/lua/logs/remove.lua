#!lua flags=allow-oom
--- @include "lib/log-keys"
--[[ Removes the log of one partition. Its stored results expire by themselves. Redis frees the memory in the background,
     however large the log is. Runs at the memory limit, as it frees memory.

     KEYS    1 partition
     ARGV    none
     Returns { 'OK' }
     Errors  none ]]
-- Much longer than a call of logs/open.lua that began before may take to arrive.
local REMOVED_MS = 60000
redis.call('UNLINK', log.partition, log.batches, log.compacted, log.fences, log.fence_uses, log.producers, log.responses, log.replicated)
redis.call('SET', log.removed, '', 'PX', REMOVED_MS)
return { 'OK' }
