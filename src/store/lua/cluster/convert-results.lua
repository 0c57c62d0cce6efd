#!lua flags=allow-oom
--- @include "lib/sequences"
--[[ Migrates the results of a session's writes to layout 6, from fields of its hash to a list. In layout 5 the hash had `last_seq`;
     `results`, packed, which began with the number of the oldest bucket; and the buckets, `results:<number>`. Each had the results of
     eight sequences: 8 bytes, then of each result its length and itself. A large one had length 0, and was where it is now.

     KEYS    1 root
     ARGV    1 session id
     Returns { 'OK' }
     Errors  none ]]
local id = ARGV[1]
local PER_BUCKET, BUCKET_HEAD_BYTES = 8, 8

local key = keys.session(id)
local last_seq, state = unpack(redis.call('HMGET', key, 'last_seq', 'results'))
if not last_seq then return { 'OK' } end
last_seq = tonumber(last_seq)
local gone = { 'last_seq', 'results' }
sequences.begin(id)
for number = struct.unpack('>d', state), math.floor((last_seq - 1) / PER_BUCKET) do
  local field = 'results:' .. whole(number)
  local bucket, at = redis.call('HGET', key, field), BUCKET_HEAD_BYTES + 1
  for seq = number * PER_BUCKET + 1, math.min(last_seq, (number + 1) * PER_BUCKET) do
    local length, from = struct.unpack('>I4', bucket, at)
    at = from + length
    sequences.keep(id, seq, length > 0 and string.sub(bucket, from, at - 1) or redis.call('HGET', key, 'result:' .. whole(seq)))
  end
  gone[#gone + 1] = field
end
sequences.write()
redis.call('HDEL', key, unpack(gone))
return { 'OK' }
