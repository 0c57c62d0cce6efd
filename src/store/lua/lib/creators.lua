--- @include "lib/keys"
--- @include "lib/root"
--- @include "lib/text"
--- @include "lib/late"
--[[ What is stored counts against the identity that created it, if its policy limits that (docs/adr/014). A creator is a hash,
     found by a number that each of its nodes has, too; `creators` finds the number by the name. The root says whether there are
     any, so that without them nothing is read.

     Counts change in memory, with the nodes, and are written with them. The limits are those of the policy with which the identity
     wrote last, as others may fill its nodes, whose brokers do not know them. ]]
local creators = { by_number = {}, changed = {}, has_changed = false }

late(creators, function()
  -- The fields of a creator that are numbers. A limit of -1 is none.
  local COUNTS = { 'nodes', 'bytes', 'partitions', 'log_bytes', 'max_nodes', 'max_bytes', 'max_partitions' }
  local UNITS = { max_nodes = 'nodes', max_bytes = 'stored bytes', max_partitions = 'partitions' }
  local NAMES = { max_nodes = 'nodes', max_bytes = 'storedBytes', max_partitions = 'partitions' }

  local function change(creator)
    creators.changed[creator.number], creators.has_changed = creator, true
  end

  --- The creator with a number; nil for nil, and if there is none.
  function creators.get(number)
    if not number then return nil end
    local creator = creators.by_number[number]
    if creator then return creator end
    local stored = redis.call('HMGET', keys.creator(number), 'name', unpack(COUNTS))
    if not stored[1] then return nil end
    creator = { number = number, name = stored[1] }
    for i, field in ipairs(COUNTS) do creator[field] = tonumber(stored[i + 1] or '0') end
    creators.by_number[number] = creator
    return creator
  end

  --- The creator of what a request makes: { name, and max_nodes, max_bytes and max_partitions, or nil to leave these }; new if there is
  --- none of that name.
  function creators.of(wanted)
    local number = redis.call('HGET', keys.creators, wanted.name)
    for other, creator in pairs(creators.changed) do
      if creator.name == wanted.name then number = other end
    end
    local creator = creators.get(number)
    if not creator then
      local count = redis.call('HLEN', keys.creators)
      for _, other in pairs(creators.changed) do
        if other.is_new then count = count + 1 end
      end
      creator = { number = whole(count + 1), name = wanted.name, is_new = true }
      for _, field in ipairs(COUNTS) do creator[field] = string.find(field, '^max_') and -1 or 0 end
      creators.by_number[creator.number] = creator
      change(creator)
    end
    for field in pairs(UNITS) do
      if wanted[field] and creator[field] ~= wanted[field] then
        creator[field] = wanted[field]
        change(creator)
      end
    end
    return creator
  end

  local function over(creator, limit, used, add)
    return {
      'QUOTA_EXCEEDED',
      creator.name .. ' has ' .. whole(used) .. ' ' .. UNITS[limit] .. ', and this would add ' .. whole(add) .. '; its limit is '
        .. whole(creator[limit]) .. ' (limits.' .. NAMES[limit] .. ' in the policy). Nothing was done. Delete some, or have the limit raised.',
      'limit', NAMES[limit],
      'used', used,
      'max', creator[limit],
    }
  end

  --- The error if a creator may not have so much more, or nil. What does not grow is never refused.
  function creators.problem(creator, nodes, bytes)
    if not creator then return nil end
    if nodes > 0 and creator.max_nodes >= 0 and creator.nodes + nodes > creator.max_nodes then
      return over(creator, 'max_nodes', creator.nodes, nodes)
    end
    local used = creator.bytes + creator.log_bytes
    if bytes > 0 and creator.max_bytes >= 0 and used + bytes > creator.max_bytes then
      return over(creator, 'max_bytes', used, bytes)
    end
    return nil
  end

  --- The same of partitions.
  function creators.partitions_problem(creator, add)
    if add > 0 and creator.max_partitions >= 0 and creator.partitions + add > creator.max_partitions then
      return over(creator, 'max_partitions', creator.partitions, add)
    end
    return nil
  end

  --- Counts more or less of a creator; nil for nodes without one.
  function creators.count(creator, field, by)
    if not creator or by == 0 then return end
    creator[field] = math.max(0, creator[field] + by)
    change(creator)
  end

  --- Forgets what has changed and is not written.
  function creators.abandon()
    creators.by_number, creators.changed, creators.has_changed = {}, {}, false
  end

  function creators.write()
    for number, creator in pairs(creators.changed) do
      local fields = { 'name', creator.name }
      for _, field in ipairs(COUNTS) do
        -- The sum of the logs is written by the controller alone (creators/update.lua).
        if field ~= 'log_bytes' then
          fields[#fields + 1] = field
          fields[#fields + 1] = whole(creator[field])
        end
      end
      redis.call('HSET', keys.creator(number), unpack(fields))
      if creator.is_new then
        redis.call('HSET', keys.creators, creator.name, number)
        if not root.creators then redis.call('HSET', keys.root, 'creators', '1') end
        creator.is_new = nil
      end
    end
    creators.changed, creators.has_changed = {}, false
  end
end)
