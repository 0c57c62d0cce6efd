#!lua flags=no-writes
--- @include "lib/log"
--- @include "lib/clock"
--[[ Says how long ago the first record at an offset, or behind it, was appended.

     KEYS    1 partition
     ARGV    1 offset
     Returns { 'OK', ms since the append of its batch, or 0 if no record follows }
     Errors  UNKNOWN_TOPIC ]]
local offset = tonumber(ARGV[1])

local bounds = log.bounds()
if not bounds then return log.unknown() end
local batch = log.walk(math.max(offset, bounds.start), bounds)(1)[1]
return { 'OK', batch and math.max(0, now_ms - tonumber(batch.time)) or 0 }
