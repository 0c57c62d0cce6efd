#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/idempotency"
--[[ Brings the record of a request with an Idempotency-Key to layout 3, where it has been given its new name: it is counted. One
     that holds the handle of a session in clear gets it sealed: the first call gives the handle, the second puts it back.
     KEYS    1 root
     ARGV    1 id of the record  2 limits of kept responses (lib/record-quota.lua)  3 the sealed handle, or ''
     Returns { 'OK', the handle that is to be sealed, or '' }
     Errors  none ]]
local packed = redis.call('GET', keys.response(ARGV[1]))
-- Only the creation of a session replied with so many words.
local SESSION_WORDS = 6
local HANDLE = 4
if not packed then return { 'OK', '' } end
local record = cmsgpack.unpack(packed)
local handle = #record.reply == SESSION_WORDS and record.reply[HANDLE] or ''
-- A sealed one has no dot: what was converted by a broker that then died stays as it is.
if string.find(handle, '.', 1, true) then
  if ARGV[3] == '' then return { 'OK', handle } end
  record.reply[HANDLE] = ARGV[3]
  packed = cmsgpack.pack(record)
  redis.call('SET', keys.response(ARGV[1]), packed, 'KEEPTTL')
end
room.take(keys.responses, room.limits(ARGV[2]), #ARGV[1] + #packed)
return { 'OK', '' }
