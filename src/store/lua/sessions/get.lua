#!lua flags=no-writes
--- @include "lib/session"
--[[ Describes a session without renewing it.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret
             3 identity of the caller, or '' = it may use sessions of all
     Returns { 'OK', time to live in ms, expires at in ms, created at in ms, label or '', path of an ephemeral node, … }
     Errors  SESSION_EXPIRED, FORBIDDEN ]]
local id, secret_hash, identity = ARGV[1], ARGV[2], ARGV[3]

local problem = session.problem(id, secret_hash, identity)
if problem then return problem end
local fields = redis.call('HMGET', keys.session(id), 'ttl_ms', 'created_at', 'label')
local reply = {
  'OK',
  tonumber(fields[1]),
  tonumber(redis.call('ZSCORE', keys.sessions, id)),
  tonumber(fields[2] or '0'),
  fields[3] or '',
}
for _, path in ipairs(redis.call('SMEMBERS', keys.ephemerals(id))) do reply[#reply + 1] = path end
return reply
