#!lua flags=allow-oom
--- @include "lib/require-open"
--- @include "lib/session"
--- @include "lib/sequences"
--[[ Makes a connection the one that writes for a session with a sequence: writes of earlier connection epochs are refused from
     now on (guarantee S5). Renews the session. Runs at the memory limit, as it only changes numbers.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret  3 identity of the caller, or '' = it may use sessions of all
             4 by how much its connection epoch rises
     Returns { 'OK', time to live in ms, expires at in ms, connection epoch, sequence of the last write, newest zxid }
     Errors  SESSION_EXPIRED, FORBIDDEN ]]
local id, secret_hash, identity, step = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local problem = session.problem(id, secret_hash, identity)
if problem then return problem end
local ttl_ms = tonumber(redis.call('HGET', keys.session(id), 'ttl_ms'))
redis.call('ZADD', keys.sessions, now_ms + ttl_ms, id)
local epoch, last_seq = sequences.attach(id, step)
return { 'OK', ttl_ms, now_ms + ttl_ms, epoch, last_seq, tonumber(redis.call('HGET', keys.root, 'zxid') or '0') }
