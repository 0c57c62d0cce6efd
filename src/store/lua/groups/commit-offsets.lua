#!lua
--- @include "lib/group"
--- @include "lib/arguments"
--- @include "lib/idempotency"
--[[ Commits offsets of a group, or deletes committed offsets, if the group's document still has the version that the broker
     validated the request against.

     KEYS    1 root
     ARGV    1 group  2 version validated against (0 = there was no group)  3 document, if the commit creates the group, else ''
             4 largest data of a node, bytes  5 transactions to retain in the event stream
             6 session of the member that commits, or ''  7 that member  8 its consume call, which must be its newest; or '' and ''
             9 record id of the Idempotency-Key, or ''  10 fingerprint of the request
             11 limits of stored responses (lib/record-quota.lua)  12 what to store for a repeat
             then a list with its length before it: (topic, topic id, partition, offset or '' = delete, metadata or '')
     Returns { 'OK', 'applied', version, zxid }
             { 'OK', 'conflict', version, document }: the document has another version
             { 'OK', 'sessions_ended', version, document, member… }: the member's session has ended; these members have one
             { 'OK', 'superseded' }: the member has begun a newer call
             { 'OK', 'repeated', what was stored }: an earlier request with this key has done it
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses); UNKNOWN_TOPIC, if a topic with that id does not exist
             (any more); those of the operations on the tree
     Emits   one transaction of created, changed, deleted, in the history of committed offsets ]]
group.select(arguments.next())
local expected, new_document = arguments.number(), arguments.next()
local limits = { privileged = true, max_node_bytes = arguments.number(), event_retention = arguments.number() }
local session_id = arguments.next()
local caller, call = '@' .. arguments.next(), arguments.next()
local record_id, fingerprint, response_limits, repeat_text = arguments.next(), arguments.next(), arguments.next(), arguments.next()
local rows = arguments.rows(5)

local repeated = idempotency.find(record_id, fingerprint, response_limits)
if repeated then return repeated[1] == 'OK' and { 'OK', 'repeated', repeated[3] } or repeated end

local version = group.version()
if version ~= expected then return group.conflict() end
if session_id ~= '' and session.problem(session_id, '', '') then return group.sessions_ended() end
if call ~= '' and call ~= redis.call('HGET', keys.positions(group.name), caller) then return { 'OK', 'superseded' } end
for _, row in ipairs(rows) do
  local problem = row[4] ~= '' and group.claim_topic(row[1], row[2], limits)
  if problem then return problem end
end
for _, row in ipairs(rows) do
  local topic, topic_id, partition, offset = unpack(row)
  local problem
  if offset == '' then
    -- Commits for an earlier topic of that name do not count.
    if group.has_claimed(topic, topic_id) then problem = group.uncommit(topic, partition, limits) end
  else
    problem = group.commit(topic, partition, offset, limits)
  end
  if problem then return problem end
end

if new_document ~= '' then version = group.store(new_document) end
group.write_topic_ids()
for _, row in ipairs(rows) do group.write_metadata(row[1], row[3], row[5]) end
idempotency.store(record_id, fingerprint, response_limits, { 'OK', 0, repeat_text })
return { 'OK', 'applied', version, txn.commit(limits.event_retention) }
