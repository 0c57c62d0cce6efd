#!lua flags=allow-oom
--- @include "lib/group"
--- @include "lib/arguments"
--[[ Deletes commits of a group that have expired, and the group itself if it has no members and no commits left. The age of
     a commit counts from when it was made, or from when the group's last member left, whichever is later.

     KEYS    1 root
     ARGV    1 group  2 version validated against  3 largest data of a node, bytes  4 transactions to retain in the event stream
             5 retention of offsets, ms  6 most commits to delete in one call
             then a list with its length before it: topics that members subscribe to, whose commits stay
     Returns { 'OK', 'applied', number of commits deleted, group deleted (1/0) }
             { 'OK', 'conflict', 0, 0 }: the document has another version; the group is due again when the claim expires
     Errors  those of the operations on the tree
     Emits   one transaction of deleted ]]
group.select(arguments.next())
local expected = arguments.number()
local limits = { privileged = true, max_node_bytes = arguments.number(), event_retention = arguments.number() }
local retention_ms, limit = arguments.number(), arguments.number()
local subscribed = {}
for _, topic in ipairs(arguments.rows(1)) do subscribed[topic] = true end

if group.version() ~= expected or expected == 0 then return { 'OK', 'conflict', 0, 0 } end
local emptied_at = tonumber(redis.call('HGET', keys.group(group.name), 'emptied_at') or '0')
local offsets, going, oldest = group.path .. '/offsets', {}, now_ms
local function due(since)
  if since + retention_ms <= now_ms and #going < limit then return true end
  oldest = math.min(oldest, since)
  return false
end

local topics = redis.call('ZRANGE', keys.children(offsets), 0, -1)
for _, topic in ipairs(topics) do
  local path = offsets .. '/' .. topic
  for _, partition in ipairs(subscribed[topic] and {} or redis.call('ZRANGE', keys.children(path), 0, -1)) do
    if due(math.max(emptied_at, txn.node(path .. '/' .. partition).mtime)) then going[#going + 1] = { topic, partition } end
  end
end
for _, row in ipairs(going) do
  local problem = group.uncommit(row[1], row[2], limits)
  if problem then return problem end
end
local left, gone = 0, {}
for _, topic in ipairs(topics) do
  local node = txn.node(offsets .. '/' .. topic)
  if node.num_children == 0 then
    txn.delete(node)
    gone[#gone + 1] = topic
  else
    left = left + 1
  end
end
local is_over = left == 0 and group.member_count() == 0 and due(emptied_at)
if is_over then
  group.remove()
else
  for _, row in ipairs(going) do group.write_metadata(row[1], row[2], '') end
  for _, topic in ipairs(gone) do redis.call('HDEL', keys.offset_details(group.name), topic) end
  redis.call('ZADD', keys.offset_ages, oldest, group.name)
end
txn.commit(limits.event_retention)
return { 'OK', 'applied', #going, is_over and 1 or 0 }
