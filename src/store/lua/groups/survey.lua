#!lua flags=no-writes
--- @include "lib/group"
--[[ Reads one part of the state of all groups: state, number of members, committed offsets. A group with many commits takes
     several parts.

     KEYS    1 root
     ARGV    1 group to begin with, or ''  2 topic of that group after which to continue, or ''  3 most groups
             4 number of commits after which to stop
     Returns { 'OK', group to continue with ('' = that was the last), topic of it after which to continue ('' = with its first),
               (group, state, members, version, number of topics, (topic, topic id, 'partition offset partition offset…')…)… }
             state = 'empty', 'reconciling' or 'stable'
     Errors  none ]]
local first, continue_after, limit, enough = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local from = first == '' and '-' or '[' .. first
local names = redis.call('ZRANGE', keys.children('/consumers'), from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local reply, commits = { 'OK', '', '' }, 0

local function state_of(members)
  if members == 0 then return 'empty' end
  return redis.call('HEXISTS', keys.group(group.name), 'moving_since') == 1 and 'reconciling' or 'stable'
end

--- Appends the commits for a topic. Returns their number.
local function add_topic(topic)
  local path, words = group.path .. '/offsets/' .. topic, {}
  local partitions = redis.call('ZRANGE', keys.children(path), 0, -1)
  for _, partition in ipairs(partitions) do
    words[#words + 1] = partition
    words[#words + 1] = redis.call('HGET', keys.node(path .. '/' .. partition), 'data')
  end
  reply[#reply + 1] = topic
  reply[#reply + 1] = redis.call('HGET', keys.offset_details(group.name), topic) or ''
  reply[#reply + 1] = table.concat(words, ' ')
  return #partitions
end

--- Appends the group with its topics after `after`. Returns the topic after which to continue, if there are more.
local function add_group(after)
  local members = group.member_count()
  local head = #reply
  local words = { group.name, state_of(members), members, group.version(), 0 }
  for i, word in ipairs(words) do reply[head + i] = word end
  local since = after == '' and '-' or '(' .. after
  for _, topic in ipairs(redis.call('ZRANGE', keys.children(group.path .. '/offsets'), since, '+', 'BYLEX')) do
    if commits >= enough then return after end
    commits = commits + add_topic(topic)
    reply[head + 5] = reply[head + 5] + 1
    after = topic
  end
  return nil
end

for i, name in ipairs(names) do
  if i > limit or commits >= enough then
    reply[2] = name
    break
  end
  group.select(name)
  if group.version() > 0 then
    local more = add_group(name == first and continue_after or '')
    if more then
      reply[2], reply[3] = name, more
      break
    end
  end
end
return reply
