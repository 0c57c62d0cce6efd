#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/session"
--[[ Describes a session without renewing it.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret
     Returns { 'OK', time to live in ms, expires at in ms, path of an ephemeral node, … }
     Errors  SESSION_EXPIRED ]]
local id, secret_hash = ARGV[1], ARGV[2]

local problem = session.problem(id, secret_hash)
if problem then return problem end
local reply = {
  'OK',
  tonumber(redis.call('HGET', keys.session(id), 'ttl_ms')),
  tonumber(redis.call('ZSCORE', keys.sessions, id)),
}
for _, path in ipairs(redis.call('SMEMBERS', keys.ephemerals(id))) do reply[#reply + 1] = path end
return reply
