#!lua flags=allow-oom
--- @include "lib/session-end"
--[[ Ends one session whose time is over, if there is one; brokers call it every 200 ms and again while it finds work.
     One session a call, so that its end is one transaction and the store is never held for long.

     An outage is not the client's fault (guarantee N6): when nobody has called for longer than `outage`, the service was
     away, and every session gets its full time again from now on. That is not written to each session: the moment is
     kept, and a session found overdue whose full time from that moment is not over is put back to there.

     KEYS    1 root
     ARGV    1 outage, ms  2 transactions to keep
     Returns { 'OK', 'ended', id, ephemeral nodes, late ms } | { 'OK', 'postponed' } | { 'OK', 'none', forgiven ('1'/'0') }
     Errors  none
     Emits   one transaction of deleted, if the session had ephemeral nodes ]]
local reaped_at = tonumber(redis.call('HGET', keys.root, 'reaped_at') or '0')
local forgiven = '0'
if now_ms - reaped_at > tonumber(ARGV[1]) then
  redis.call('HSET', keys.root, 'forgiven_at', now_ms)
  forgiven = '1'
end
redis.call('HSET', keys.root, 'reaped_at', now_ms)
local due = redis.call('ZRANGE', keys.sessions, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
local id = due[1]
if not id then return { 'OK', 'none', forgiven } end
local ttl_ms = tonumber(redis.call('HGET', keys.session(id), 'ttl_ms') or '0')
local until_ms = tonumber(redis.call('HGET', keys.root, 'forgiven_at') or '0') + ttl_ms
if until_ms > now_ms then
  redis.call('ZADD', keys.sessions, until_ms, id)
  return { 'OK', 'postponed' }
end
local count = session.finish(id, tonumber(ARGV[2]))
return { 'OK', 'ended', id, count, now_ms - tonumber(due[2]) }
