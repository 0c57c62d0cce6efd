#!lua flags=no-writes
--- @include "lib/log"
--- @include "lib/clock"
--[[ Reads batches for compaction, as they are stored, from the one that holds an offset (or the next one) on: about as many
     bytes as asked for, at least one batch, and a bounded number.

     KEYS    1 partition
     ARGV    1 offset; below the log it is the log's start  2 offset to stop before  3 bytes
     Returns { 'OK', run of Redis, generation, start offset, end offset, offset up to which the log is compacted,
             tombstones since in ms, time in ms,
             (base offset, number of records, time in ms, tombstones since in ms, records)… }
     Errors  UNKNOWN_TOPIC ]]
local begin, stop, bytes_left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local READ_AHEAD_MAX = 16
local BATCHES_MAX, WIDTH = 1000, 5
local bounds = log.bounds()
if not bounds then return log.unknown() end
local offset = math.max(begin, bounds.start)
local tombstones = tonumber(redis.call('HGET', log.partition, 'tombstones_since') or '0')
local reply = { 'OK', log.redis_run(), bounds.generation, bounds.start, bounds.next, bounds.cleaned, tombstones, now_ms }
local following, count, largest = log.walk(offset, bounds), 1, 1
while offset < stop and bytes_left > 0 do
  local batches = following(count)
  if #batches == 0 then break end
  for _, batch in ipairs(batches) do
    if batch.base >= stop or bytes_left <= 0 or #reply > BATCHES_MAX * WIDTH then return reply end
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = batch.base, batch.count, batch.time
    reply[n + 4], reply[n + 5] = batch.since, batch.records
    offset = batch.base + batch.count
    bytes_left = bytes_left - #batch.records
    largest = math.max(largest, #batch.records)
  end
  count = math.min(READ_AHEAD_MAX, math.max(1, math.ceil(bytes_left / largest)))
end
return reply
