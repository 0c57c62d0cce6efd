#!lua flags=no-writes
--- @include "lib/group"
--[[ Reads all committed offsets of a group, each with the id of its topic.

     KEYS    1 root
     ARGV    1 group
     Returns { 'OK', zxid, (topic, topic id, partition, offset, committed at in ms, metadata or '')… }
     Errors  none ]]
local name = ARGV[1]

group.select(name)
local reply = { 'OK', tonumber(redis.call('HGET', keys.root, 'zxid') or '0') }
local offsets, details = group.path .. '/offsets', keys.offset_details(group.name)
for _, topic in ipairs(redis.call('ZRANGE', keys.children(offsets), 0, -1)) do
  local topic_id = redis.call('HGET', details, topic) or ''
  for _, partition in ipairs(redis.call('ZRANGE', keys.children(offsets .. '/' .. topic), 0, -1)) do
    local path = offsets .. '/' .. topic .. '/' .. partition
    local words = { topic, topic_id, partition, redis.call('HGET', keys.node(path), 'data') }
    words[5] = txn.node(path).mtime
    words[6] = redis.call('HGET', details, group.field(topic, partition)) or ''
    for _, word in ipairs(words) do reply[#reply + 1] = word end
  end
end
return reply
