#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/by-score"
--[[ Reads one page of the producers, those whose recorded use is the longest ago at first.

     KEYS    1 root
     ARGV    1 time of use after which the page starts, ms, or ''  2 producer of that time after which it starts
             3 most producers
     Returns { 'OK', more follow ('1'/'0'), (producer id, last recorded use in ms, name, epoch)… }
     Errors  none ]]
local used_at, after, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local found, more = by_score.page(keys.producers, used_at, after, limit)
local reply = { 'OK', more }
for i = 1, #found, 2 do
  local fields = redis.call('HMGET', keys.producer(found[i]), 'name', 'epoch')
  local size = #reply
  reply[size + 1] = found[i]
  reply[size + 2] = tonumber(found[i + 1])
  reply[size + 3] = fields[1] or ''
  reply[size + 4] = tonumber(fields[2] or '0')
end
return reply
