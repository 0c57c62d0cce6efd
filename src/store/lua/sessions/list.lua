#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/by-score"
--[[ Reads one page of the sessions, those that expire first at first.

     KEYS    1 root
     ARGV    1 deadline after which the page starts, ms, or ''  2 session of that deadline after which it starts
             3 most sessions
     Returns { 'OK', more follow ('1'/'0'),
               (session id, expires at in ms, time to live in ms, created at in ms, number of ephemeral nodes, label or '',
                identity or '')… }
     Errors  none ]]
local deadline, after, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local found, more = by_score.page(keys.sessions, deadline, after, limit)
local reply = { 'OK', more }
for i = 1, #found, 2 do
  local id = found[i]
  local fields = redis.call('HMGET', keys.session(id), 'ttl_ms', 'created_at', 'label', 'identity')
  local size = #reply
  reply[size + 1] = id
  reply[size + 2] = tonumber(found[i + 1])
  reply[size + 3] = tonumber(fields[1] or '0')
  reply[size + 4] = tonumber(fields[2] or '0')
  reply[size + 5] = redis.call('SCARD', keys.ephemerals(id))
  reply[size + 6] = fields[3] or ''
  reply[size + 7] = fields[4] or ''
end
return reply
