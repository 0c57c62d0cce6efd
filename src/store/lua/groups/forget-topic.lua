#!lua flags=allow-oom
--- @include "lib/group"
--[[ Deletes what groups have committed for a topic that was deleted, each group in a transaction of its own. A group that
     then has neither members nor committed offsets is deleted with it, as in Kafka.

     KEYS    1 root
     ARGV    1 group after which to continue, or ''  2 topic  3 topic id  4 most groups to check
             5 number of commits deleted after which to stop  6 transactions to retain in the event stream
     Returns { 'OK', group after which to continue ('' = that was the last), number of commits deleted }
     Errors  those of the operations on the tree
     Emits   one transaction of deleted for each group ]]
local continue_after, topic, topic_id = ARGV[1], ARGV[2], ARGV[3]
local groups_max, enough, event_retention = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local from = continue_after == '' and '-' or '(' .. continue_after
local names = redis.call('ZRANGE', keys.children('/consumers'), from, '+', 'BYLEX', 'LIMIT', 0, groups_max)
local is_whole = #names < groups_max
local last, forgotten = '', 0
for _, name in ipairs(names) do
  group.select(name)
  if group.has_claimed(topic, topic_id) then
    if forgotten >= enough then
      is_whole = false
      break
    end
    forgotten = forgotten + group.forget_topic(topic)
    txn.finish()
  end
  last = name
end
txn.write(event_retention)
return { 'OK', is_whole and '' or last, forgotten }
