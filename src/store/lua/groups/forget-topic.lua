#!lua flags=allow-oom
--- @include "lib/group"
--[[ Takes back what groups have committed for a topic that was deleted, each group in a transaction of its own. A group that has
     neither members nor committed offsets then goes with it, as in Kafka.
     KEYS    1 root
     ARGV    1 group after which to go on, or ''  2 topic  3 its id  4 most groups to look at  5 commits after which to stop
             6 transactions to keep
     Returns { 'OK', group after which to go on ('' = that was the last), commits taken back }
     Errors  those of the operations on the tree
     Emits   one transaction of deleted for each group ]]
local topic, topic_id = ARGV[2], ARGV[3]
local look_at, enough = tonumber(ARGV[4]), tonumber(ARGV[5])
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local names = redis.call('ZRANGE', keys.children('/consumers'), from, '+', 'BYLEX', 'LIMIT', 0, look_at)
local is_whole = #names < look_at
local last, forgotten = '', 0
for _, name in ipairs(names) do
  group.turn_to(name)
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
txn.write(tonumber(ARGV[6]))
return { 'OK', is_whole and '' or last, forgotten }
