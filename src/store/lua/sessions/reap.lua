#!lua flags=allow-oom
--- @include "lib/session-end"
--[[ Ends sessions whose time is over, the longest overdue first; brokers call it every 200 ms, and at once again while
     there are more. Each end is a transaction of its own. One call does a bounded part, so that the store is never held
     for long; yet it does many at once: sessions that end together must not wait for each other (guarantee N5).

     An outage is not the client's fault (guarantee N6): when nobody has called for longer than `outage`, the service was
     away, and every session gets its full time again from now on. That is not written to each session: the moment is
     kept, and a session found overdue whose full time from that moment is not over is put back to there.

     KEYS    1 root
     ARGV    1 outage, ms  2 transactions to keep
     Returns { 'OK', forgiven ('1'/'0'), more ('1'/'0'), (id, ephemeral nodes, late ms)… }
     Errors  none
     Emits   for each session that had ephemeral nodes one transaction of deleted ]]
local SESSIONS_MAX = 200
-- About 10 us each. A session that has more is ended in one piece all the same.
local NODES_MAX = 200

-- A store in which nobody has ever looked is a new one: nothing was away.
local reaped_at = tonumber(redis.call('HGET', keys.root, 'reaped_at') or now_ms)
local forgiven = '0'
if now_ms - reaped_at > tonumber(ARGV[1]) then
  redis.call('HSET', keys.root, 'forgiven_at', now_ms)
  forgiven = '1'
end
redis.call('HSET', keys.root, 'reaped_at', now_ms)

local forgiven_at = tonumber(redis.call('HGET', keys.root, 'forgiven_at') or '0')
local due = redis.call('ZRANGE', keys.sessions, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, SESSIONS_MAX, 'WITHSCORES')
local reply = { 'OK', forgiven, #due == 2 * SESSIONS_MAX and '1' or '0' }
local nodes = 0
for i = 1, #due, 2 do
  if nodes >= NODES_MAX then
    reply[3] = '1'
    break
  end
  local id = due[i]
  local until_ms = forgiven_at + tonumber(redis.call('HGET', keys.session(id), 'ttl_ms') or '0')
  if until_ms > now_ms then
    redis.call('ZADD', keys.sessions, until_ms, id)
  else
    local count = session.finish(id, tonumber(ARGV[2]))
    nodes = nodes + count
    reply[#reply + 1] = id
    reply[#reply + 1] = count
    reply[#reply + 1] = now_ms - tonumber(due[i + 1])
  end
end
return reply
