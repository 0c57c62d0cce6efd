#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/idempotency"
--[[ Migrates the record of a request with an Idempotency-Key to layout 3, where it is stored under its new name: counts it
     among the stored responses. If it holds the handle of a session in clear text, the first call returns the handle, and a
     second call replaces it by the sealed one.

     KEYS    1 root
     ARGV    1 record id  2 limits of stored responses (lib/record-quota.lua)  3 sealed handle, or ''
     Returns { 'OK', handle to seal, or '' }
     Errors  none ]]
local record_id, response_limits, sealed_handle = ARGV[1], ARGV[2], ARGV[3]

local packed = redis.call('GET', keys.response(record_id))
-- Only the creation of a session replied with that many values.
local SESSION_VALUES = 6
local HANDLE = 4
if not packed then return { 'OK', '' } end
local record = cmsgpack.unpack(packed)
local handle = #record.reply == SESSION_VALUES and record.reply[HANDLE] or ''
-- A sealed handle has no dot: one that another broker sealed before it died stays as it is.
if string.find(handle, '.', 1, true) then
  if sealed_handle == '' then return { 'OK', handle } end
  record.reply[HANDLE] = sealed_handle
  packed = cmsgpack.pack(record)
  redis.call('SET', keys.response(record_id), packed, 'KEEPTTL')
end
quota.take(keys.responses, quota.limits(response_limits), #record_id + #packed)
return { 'OK', '' }
