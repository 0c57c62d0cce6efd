#!lua flags=allow-oom
--- @include "lib/session-end"
--[[ Ends sessions whose deadline has passed, the longest overdue first. Brokers call it every 200 ms, and again at once
     while more are overdue. Each end is a transaction of its own. A call is bounded, so that it does not block the store;
     yet it ends many sessions, because those that end together must not wait for each other (guarantee N5).

     An outage must not end sessions (guarantee N6). If for longer than the outage threshold neither this script has
     run nor anything was written, every session has its full time to live again from now on. That moment is stored once, not in each session: a session found
     overdue whose time to live from that moment has not passed gets its deadline moved.

     It also says whether a timer of a group is due, so that an idle broker makes one call for both.

     KEYS    1 root
     ARGV    1 outage threshold, ms  2 transactions to retain in the event stream
     Returns { 'OK', outage detected ('1'/'0'), more are overdue ('1'/'0'), a timer is due ('1'/'0'),
               (session id, number of ephemeral nodes deleted, ms after its deadline)… }
     Errors  none
     Emits   one transaction of deleted for each session that had ephemeral nodes ]]
local outage_ms, event_retention = tonumber(ARGV[1]), tonumber(ARGV[2])

local SESSIONS_MAX = 200
-- About 10 us each. A session that has more nodes still ends in one transaction.
local NODES_MAX = 200

local forgiven = '0'
if txn.was_outage(outage_ms) then
  redis.call('HSET', keys.root, 'forgiven_at', now_ms)
  forgiven = '1'
end
redis.call('HSET', keys.root, 'reaped_at', now_ms)
root.reaped_at = now_ms

local forgiven_at = tonumber(redis.call('HGET', keys.root, 'forgiven_at') or '0')
local due = redis.call('ZRANGE', keys.sessions, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, SESSIONS_MAX, 'WITHSCORES')
local due_timer = redis.call('ZRANGE', keys.timers, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, 1)
local reply = { 'OK', forgiven, #due == 2 * SESSIONS_MAX and '1' or '0', tostring(#due_timer) }
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
    local count = session.finish(id)
    nodes = nodes + count
    reply[#reply + 1] = id
    reply[#reply + 1] = count
    reply[#reply + 1] = now_ms - tonumber(due[i + 1])
  end
end
txn.write(event_retention)
return reply
