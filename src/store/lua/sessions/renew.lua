#!lua flags=allow-oom
--- @include "lib/session"
--[[ Renews a session for its full time to live. Runs at the memory limit, as it only moves a deadline.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret, or '' for a session of the broker itself
             3 identity of the caller, or '' = it may use sessions of all  4 what the broker reports of itself, if it is one
     Returns { 'OK', time to live in ms, expires at in ms }
     Errors  SESSION_EXPIRED, FORBIDDEN ]]
local id, secret_hash, identity, report = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local problem = session.problem(id, secret_hash, identity)
if problem then return problem end
local ttl_ms = tonumber(redis.call('HGET', keys.session(id), 'ttl_ms'))
redis.call('ZADD', keys.sessions, now_ms + ttl_ms, id)
if report then redis.call('HSET', keys.session(id), 'report', report) end
return { 'OK', ttl_ms, now_ms + ttl_ms }
