#!lua flags=allow-oom
--- @include "lib/log"
--- @include "lib/log-results"
--[[ Deletes the records before an offset: the log starts there from now on. A batch that also holds records at or after
     the offset is freed together with these; its earlier records are not read any more. Runs at the memory limit, as it
     frees memory.

     KEYS    1 partition
     ARGV    1 offset, or 'latest'; an offset below the start changes nothing  2 Idempotency-Key, or ''
             3 fingerprint of the request  4 limits of stored results (lib/record-quota.lua)
     Returns { 'OK', start offset, end offset, more ('1'/'0': another call has to free batches below the start), replayed (1/0) }
     Errors  UNKNOWN_TOPIC, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored results),
             OFFSET_OUT_OF_RANGE (fields logStartOffset, endOffset)
     Emits   one message of log.announce_removal(), if anything was removed ]]
local asked, key, fingerprint, result_limits = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local bounds = log.bounds()
if not bounds then return log.unknown() end
if key ~= '' then
  local outcome = results.find(key, fingerprint) or results.full(result_limits)
  if outcome then return outcome[1] == 'OK' and { 'OK', outcome[3], outcome[4], '0', 1 } or outcome end
end
local offset = asked == 'latest' and bounds.next or tonumber(asked)
if offset > bounds.next then return log.out_of_range(offset, bounds) end
local more = false
if offset > bounds.start or bounds.compacted > 0 then
  more = log.trim(offset, bounds)
  log.announce_removal(bounds)
end
if key ~= '' then results.store(key, fingerprint, result_limits, bounds.start, bounds.next, 0) end
return { 'OK', bounds.start, bounds.next, more and '1' or '0', 0 }
