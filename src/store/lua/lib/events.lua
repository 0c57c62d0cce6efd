--- @include "lib/keys"
--- @include "lib/root"
--- @include "lib/text"
--- @include "lib/stat"
--- @include "lib/late"
--[[ The event stream: what one script writes is one entry, with all its transactions in order; its id is the zxid of the last one.
     src/store/tree/node-codec.ts reads entries.

     An entry has a field `events`, and `half` if the same script has written an entry to the other stream, too. `events` begins with
     the running sums of the bytes and the number of all transactions, those of this entry included; the zxid of its first
     transaction; and how many it has. Then come the transactions: of each how far its zxid is beyond the first one, the length of
     its events, and these: kind, lengths of stat, content type, path and data, and these four. A deleted event has no content type
     and no data; data are cut at 16 KiB. ]]

-- Of each stream the parts of the entry that is to be written, `last_part` of them: they are joined once, as Lua hashes every
-- byte of each string that it makes. The first part is the head of the entry. `open` is the place for the head of the transaction that is not
-- finished yet, behind which its events of `open_bytes` follow; false if it has none. Then the running sums, finished transactions
-- included, which the root keeps (`event_bytes`, `event_count`). `events_floor` there is the zxid up to which transactions are
-- deleted: resuming before it gives COMPACTED. The fields of offsets begin with a prefix.
local function stream_of(key, prefix)
  return {
    key = key, prefix = prefix, parts = { '' }, last_part = 1, open = false, open_bytes = 0, transactions = 0,
    first = false, last = false, bytes = false, count = false,
  }
end
local events = { main = stream_of(keys.events, ''), offsets = false }

local ENTRY = '>dddI4'
local TRANSACTION = '>I4I4'
local EVENT, EVENT_BYTES = '>BBI2I4I4', 12
local EVENT_CREATED, EVENT_CHANGED, EVENT_DELETED = 1, 2, 3
local DATA_BYTES_MAX = 16384
-- How often the history is trimmed: after that many transactions, as each time would cost more than it saves; and after an
-- entry of that many bytes, as 128 of those could be gigabytes.
local TRIM_EVERY = 128
local TRIM_AFTER_BYTES = 262144
local HISTORY_BYTES_MAX = 67108864
--- The history of committed offsets has that many transactions.
local OFFSET_TRANSACTIONS_MAX = 10000

--- Begins to write to the history of offsets too: few scripts do.
local function open_offsets()
  if not events.offsets then events.offsets = stream_of(keys.offset_events, 'offset_') end
  return events.offsets
end

local LETTER_C = 99

--- Adds an event to the transaction. Offset commits are so many that they would push all else out of the history: events of
--- nodes below /consumers/{group}/offsets go to a short stream of their own, all others to the main stream.
local function note(kind, node, content_type, data)
  local path, packed = node.path, stat.of(node)
  if #data > DATA_BYTES_MAX then data = string.sub(data, 1, DATA_BYTES_MAX) end
  local is_offset = string.byte(path, 2) == LETTER_C and string.find(path, '^/consumers/[^/]+/offsets/')
  local into = is_offset and open_offsets() or events.main
  local parts, at = into.parts, into.last_part
  if not into.open then
    at = at + 1
    parts[at] = ''
    into.open, into.open_bytes = at, 0
  end
  parts[at + 1] = struct.pack(EVENT, kind, #packed, #content_type, #path, #data)
  parts[at + 2], parts[at + 3], parts[at + 4], parts[at + 5] = packed, content_type, path, data
  into.last_part = at + 5
  into.open_bytes = into.open_bytes + EVENT_BYTES + #packed + #content_type + #path + #data
end

function events.created(node) note(EVENT_CREATED, node, node.content_type, node.data) end
function events.changed(node) note(EVENT_CHANGED, node, node.content_type, node.data) end
function events.deleted(node) note(EVENT_DELETED, node, '', '') end

--- Whether the transaction has any events so far.
function events.any()
  local offsets = events.offsets
  return events.main.open or offsets and offsets.open
end

--- Reads the sums of a stream, if that was not done.
local function read_sums(of)
  if of.bytes then return end
  local bytes, count = root.event_bytes, root.event_count
  if of ~= events.main then
    bytes, count = unpack(redis.call('HMGET', keys.root, of.prefix .. 'event_bytes', of.prefix .. 'event_count'))
  end
  of.bytes, of.count = tonumber(bytes or '0'), tonumber(count or '0')
end

local function finish(into, zxid)
  local open, open_bytes = into.open, into.open_bytes
  if not open then return end
  read_sums(into)
  into.bytes, into.count = into.bytes + open_bytes, into.count + 1
  into.first, into.last = into.first or zxid, zxid
  into.transactions = into.transactions + 1
  into.parts[open] = struct.pack(TRANSACTION, zxid - into.first, open_bytes)
  into.open = false
end

--- Ends the transaction: its events are the next ones of the entry.
function events.finish(zxid)
  finish(events.main, zxid)
  if events.offsets then finish(events.offsets, zxid) end
end

local function add_fields(fields, of)
  local at = #fields
  fields[at + 1], fields[at + 2] = of.prefix .. 'event_bytes', whole(of.bytes)
  fields[at + 3], fields[at + 4] = of.prefix .. 'event_count', whole(of.count)
end

--- Adds the fields of the root that change with the finished transactions, each with its value behind it.
function events.add_root_fields(fields)
  if events.main.first then add_fields(fields, events.main) end
  if events.offsets and events.offsets.first then add_fields(fields, events.offsets) end
end

local function append(to, has_other, retention)
  local first, last, parts = to.first, to.last, to.parts
  parts[1] = struct.pack(ENTRY, to.bytes, to.count, first, to.transactions)
  local entry = table.concat(parts)
  local id = whole(last) .. '-0'
  -- A reader that waits gets what one of the streams has got. The mark tells it to read the other one, too: no transaction is split
  -- (guarantee W2), and none is passed over.
  if has_other then
    redis.call('XADD', to.key, id, 'events', entry, 'half', '1')
  else
    redis.call('XADD', to.key, id, 'events', entry)
  end
  to.parts, to.last_part, to.transactions, to.first = { '' }, 1, 0, false
  if last % TRIM_EVERY <= last - first or #entry >= TRIM_AFTER_BYTES then events.trim(to, retention) end
end

--- Appends the finished transactions. `retention` = how many transactions the main history retains.
function events.append(retention)
  local main, offsets = events.main, events.offsets
  local in_main, in_offsets = main.first, offsets and offsets.first
  if in_offsets then append(offsets, in_main, OFFSET_TRANSACTIONS_MAX) end
  if in_main then append(main, in_offsets, retention) end
end

late(events, function()
  local function discard(from)
    if not from.open then return end
    for i = from.open, from.last_part do from.parts[i] = nil end
    from.last_part, from.open = from.open - 1, false
  end

  --- Discards the events of the transaction.
  function events.discard()
    discard(events.main)
    if events.offsets then discard(events.offsets) end
  end

  --- The sums, first zxid and number of transactions of an entry, its id as a zxid, and its bytes.
  function events.head_of(entry)
    local bytes, count, first, transactions = struct.unpack(ENTRY, entry[2][2])
    return {
      bytes = bytes,
      count = count,
      first = first,
      transactions = transactions,
      zxid = tonumber(string.match(entry[1], '^%d+')),
      size = #entry[2][2],
    }
  end

  --- The head of the first entry of a stream at or after an id; '-' is before all. Nil if there is none.
  function events.head(key, id)
    local entry = redis.call('XRANGE', key, id, '+', 'COUNT', 1)[1]
    return entry and events.head_of(entry)
  end

  --- Deletes the oldest entries of a stream beyond the limits: those behind which there are as many transactions as are retained, and
  --- those with which there are too many bytes.
  function events.trim(from, retention)
    local function is_beyond(head)
      return head and (from.count - head.count >= retention or from.bytes - head.bytes + head.size > HISTORY_BYTES_MAX)
    end
    local function at(zxid) return events.head(from.key, whole(zxid)) end
    local gone = events.head(from.key, '-')
    if not is_beyond(gone) then return end
    -- Looks for the newest such entry near the oldest one, as few are deleted each time: in steps that double, then by halves.
    local step, kept = 1, nil
    repeat
      local head = at(gone.zxid + step)
      if is_beyond(head) then gone = head else kept = gone.zxid + step end
      step = 2 * step
    until kept
    while kept - gone.zxid > 1 do
      local middle = math.floor((gone.zxid + kept) / 2)
      local head = at(middle)
      if is_beyond(head) then gone = head else kept = middle end
    end
    if redis.call('XTRIM', from.key, 'MINID', '~', whole(gone.zxid + 1)) == 0 then return end
    redis.call('HSET', keys.root, from.prefix .. 'events_floor', whole(events.head(from.key, '-').first - 1))
  end

  --- The bytes of an entry with one transaction, whose stored events are given.
  function events.entry(zxid, body, sums)
    return struct.pack(ENTRY, sums.bytes, sums.count, zxid, 1) .. struct.pack(TRANSACTION, 0, #body) .. body
  end
end)
