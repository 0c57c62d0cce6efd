#!lua flags=allow-oom
--- @include "lib/log"
--[[ Deletes the records before an offset: the log starts there from now on. What lies in one batch with records that
     stay is no longer read, and freed together with them. Let through at the memory limit, as it only makes room.
     KEYS    1 partition
     ARGV    1 offset, or 'latest'; one below the start changes nothing
     Returns { 'OK', start, end offset, more ('1'/'0': batches below the start are left to be freed by another call) }
     Errors  UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields logStartOffset, endOffset) ]]
local bounds = log.bounds()
if not bounds then return log.unknown() end
local offset = ARGV[1] == 'latest' and bounds.next or tonumber(ARGV[1])
if offset > bounds.next then return log.out_of_range(offset, bounds) end
local more = (offset > bounds.start or bounds.compacted > 0) and log.trim(offset, bounds)
return { 'OK', bounds.start, bounds.next, more and '1' or '0' }
