--[[ A node's stat as the store keeps it: one text of 13 words, so that a node is a small hash of three fields.
     src/store/node-codec.ts reads the same words in the same order. `created` counts successful child creations: it is
     ZooKeeper's stored cversion, and the sequence counter; cversion as users see it is 2 * created - num_children. ]]
local stat = {}

local PATTERN = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%d+)$'

function stat.parse(text)
  local czxid, mzxid, pzxid, ctime, mtime, version, created, aversion, data_length, num_children, owner, mode, ttl_ms =
    string.match(text, PATTERN)
  return {
    czxid = tonumber(czxid),
    mzxid = tonumber(mzxid),
    pzxid = tonumber(pzxid),
    ctime = tonumber(ctime),
    mtime = tonumber(mtime),
    version = tonumber(version),
    created = tonumber(created),
    aversion = tonumber(aversion),
    data_length = tonumber(data_length),
    num_children = tonumber(num_children),
    owner = owner ~= '-' and owner or nil,
    mode = mode,
    ttl_ms = tonumber(ttl_ms),
  }
end

--- The words of a node as it is now. They are wanted for the store, the event and the answer alike, so they are kept until
--- the node changes (lib/txn.lua, touch).
function stat.of(node)
  if node.stat then return node.stat end
  node.stat = string.format(
    '%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %s %s %.0f',
    node.czxid,
    node.mzxid,
    node.pzxid,
    node.ctime,
    node.mtime,
    node.version,
    node.created,
    node.aversion,
    node.data_length,
    node.num_children,
    node.owner or '-',
    node.mode,
    node.ttl_ms
  )
  return node.stat
end

--- ZooKeeper's version counter: signed 32 bits, wrapping, and never -1, which means "any" (ZOOKEEPER-4743).
function stat.next_version(version)
  if version == 2147483647 then return -2147483648 end
  if version == -2 then return 0 end
  return version + 1
end
