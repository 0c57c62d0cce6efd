#!lua flags=allow-oom
--- @include "lib/log"
--- @include "lib/log-results"
--[[ Deletes the records before an offset: the log starts there from now on. What lies in one batch with records that
     stay is no longer read, and freed together with them. Let through at the memory limit, as it only makes room.
     KEYS    1 partition
     ARGV    1 offset, or 'latest'; one below the start changes nothing  2 Idempotency-Key or ''
             3 fingerprint of the request  4 limits of kept answers (lib/record-quota.lua)
     Returns { 'OK', start, end offset, more ('1'/'0': batches below the start are left to be freed by another call),
             replayed (1/0) }
     Errors  UNKNOWN_TOPIC, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (kept answers),
             OFFSET_OUT_OF_RANGE (fields logStartOffset, endOffset) ]]
local bounds = log.bounds()
if not bounds then return log.unknown() end
local key = ARGV[2]
if key ~= '' then
  local outcome = answers.find(key, ARGV[3]) or answers.full(ARGV[4])
  if outcome then return outcome[1] == 'OK' and { 'OK', outcome[3], outcome[4], '0', 1 } or outcome end
end
local offset = ARGV[1] == 'latest' and bounds.next or tonumber(ARGV[1])
if offset > bounds.next then return log.out_of_range(offset, bounds) end
local more = (offset > bounds.start or bounds.compacted > 0) and log.trim(offset, bounds)
if key ~= '' then answers.keep(key, ARGV[3], ARGV[4], bounds.start, bounds.next, 0) end
return { 'OK', bounds.start, bounds.next, more and '1' or '0', 0 }
