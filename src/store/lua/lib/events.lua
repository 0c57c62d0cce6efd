--- @include "lib/keys"
--- @include "lib/text"
--- @include "lib/stat"
--[[ The event stream: each transaction is one entry, whose id is the zxid. src/store/tree/node-codec.ts reads them.

     An entry has one field, `events`: the running sum of the bytes of all entries; then of each event its kind, the lengths of
     stat, content type, path and data, and these four. A deleted event has no content type and no data; data are cut at 16 KiB. ]]
local events = { main = {}, offsets = {} }

local EVENT = '>BBI2I4I4'
local EVENT_CREATED, EVENT_CHANGED, EVENT_DELETED = 1, 2, 3
local DATA_BYTES_MAX = 16384
-- How often the history is trimmed: after that many transactions, as each time would cost more than it saves; and after a
-- transaction of that many bytes, as 128 of those could be gigabytes.
local TRIM_EVERY = 128
local TRIM_AFTER_BYTES = 262144
local HISTORY_BYTES_MAX = 67108864

--- Adds an event to the transaction. Offset commits are so many that they would push all else out of the history: events of
--- nodes below /consumers/{group}/offsets go to a short stream of their own, all others to the main stream.
local function note(kind, node, content_type, data)
  local path, packed = node.path, stat.of(node)
  if #data > DATA_BYTES_MAX then data = string.sub(data, 1, DATA_BYTES_MAX) end
  local into = string.find(path, '^/consumers/[^/]+/offsets/') and events.offsets or events.main
  into[#into + 1] = struct.pack(EVENT, kind, #packed, #content_type, #path, #data) .. packed .. content_type .. path .. data
end

function events.created(node) note(EVENT_CREATED, node, node.content_type, node.data) end
function events.changed(node) note(EVENT_CHANGED, node, node.content_type, node.data) end
function events.deleted(node) note(EVENT_DELETED, node, '', '') end

--- Returns the events added so far, as the bytes for each stream, and begins an empty transaction. Nil if there are none.
function events.take()
  if #events.main == 0 and #events.offsets == 0 then return nil end
  local entry = { main = table.concat(events.main), offsets = table.concat(events.offsets) }
  events.main, events.offsets = {}, {}
  return entry
end

--- Deletes the oldest entries beyond the limits. The bytes retained are the newest running sum less the oldest one, and the
--- size of the oldest entry. `events_floor` is the zxid up to which entries are deleted: resuming before it gives COMPACTED.
local function trim(retention, newest)
  local forgotten = redis.call('XTRIM', keys.events, 'MAXLEN', '~', retention)
  local first
  for _ = 1, 16 do
    local oldest = redis.call('XRANGE', keys.events, '-', '+', 'COUNT', 1)[1]
    if not oldest then return end
    first = tonumber(string.match(oldest[1], '^%d+'))
    local bytes = newest - struct.unpack('>d', oldest[2][2]) + #oldest[2][2]
    local length = redis.call('XLEN', keys.events)
    if bytes <= HISTORY_BYTES_MAX or length <= 1 then break end
    forgotten = forgotten + redis.call('XTRIM', keys.events, 'MAXLEN', math.floor(length * HISTORY_BYTES_MAX / bytes * 0.9))
  end
  if forgotten > 0 then redis.call('HSET', keys.root, 'events_floor', whole(first - 1)) end
end

--- Appends transactions ({ zxid, main, offsets, total }) in their order. Their ids are their zxids in both streams.
function events.append(transactions, retention)
  local due = false
  for _, entry in ipairs(transactions) do
    local id, main, offsets = whole(entry.zxid) .. '-0', entry.main, entry.offsets
    local head = struct.pack('>d', entry.total)
    if offsets == '' then
      redis.call('XADD', keys.events, id, 'events', head .. main)
    elseif main == '' then
      redis.call('XADD', keys.offset_events, 'MAXLEN', '~', keys.OFFSET_EVENTS_MAX, id, 'events', head .. offsets)
    else
      -- The mark tells a reader that has only one half to read the other: a transaction is never split (guarantee W2).
      redis.call('XADD', keys.offset_events, 'MAXLEN', '~', keys.OFFSET_EVENTS_MAX, id, 'events', head .. offsets, 'half', '1')
      redis.call('XADD', keys.events, id, 'events', head .. main, 'half', '1')
    end
    due = due or entry.zxid % TRIM_EVERY == 0 or #main >= TRIM_AFTER_BYTES
  end
  if due then trim(retention, transactions[#transactions].total) end
end
