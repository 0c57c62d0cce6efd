--- @include "lib/session"
--- @include "lib/text"
--- @include "lib/late"
--[[ The writes of a session that have a place in an order (guarantee S5): each has a sequence, one more than the one before, and
     comes from the connection that was attached last (sessions/attach.lua). The results of the newest are stored, also those
     of writes that failed, so that a repeat after a lost response gets its first result. A write behind one that was lost is
     refused, so it takes no effect.

     All is in the session's hash, and ends with it: `connection_epoch`; `last_seq`; `results`, packed: the number of the oldest
     bucket, and the operations and bytes of all results; and the buckets, `results:<number>`. Each has the results of EACH
     sequences that follow each other: their operations, the bytes of large results, then of each result its length and itself.
     A bucket is written again with each result, so a large one is in a field of its own, `result:<sequence>`, with length 0 here.

     The state of a session is read and written once for each call. ]]
local sequences = { by_session = {}, has_changed = false }

late(sequences, function()
  local EACH = 8
  local INLINE_BYTES_MAX = 1024
  local KEPT = '>ddd'
  local BUCKET_HEAD, BUCKET_HEAD_BYTES = '>I4I4', 8
  local RESULT_HEAD, RESULT_HEAD_BYTES = '>I4', 4
  -- At least as many results are kept as one socket may have requests in flight, and operations in them (src/ws); and so many
  -- bytes that the results of those fit, which are at most twice as large as the frames (the path of an error is there twice).
  local WRITES_MIN = 256
  local OPERATIONS_MIN = 8192
  local BYTES_MIN = 10485760

  local function bucket_of(seq) return math.floor((seq - 1) / EACH) end

  local function field_of(number) return 'results:' .. whole(number) end

  local function large_field_of(seq) return 'result:' .. whole(seq) end

  --- `parts` = the head, what was stored behind it, and the results that this call has added.
  local function open_bucket(stored)
    if not stored then return { text = false, parts = { '', '' }, operations = 0, large_bytes = 0, changed = false } end
    local operations, large_bytes, from = struct.unpack(BUCKET_HEAD, stored)
    return { text = stored, parts = { '', string.sub(stored, from) }, operations = operations, large_bytes = large_bytes, changed = false }
  end

  --- The state of a session, or nil if it has ended. `seq` = the sequence of a request, whose bucket is read together with it.
  local function state_of(id, seq)
    local state = sequences.by_session[id]
    if state ~= nil then return state or nil end
    local number = bucket_of(seq)
    local live, epoch, last_seq, kept, bucket =
      unpack(redis.call('HMGET', keys.session(id), 'secret_hash', 'connection_epoch', 'last_seq', 'results', field_of(number)))
    if not live then
      sequences.by_session[id] = false
      return nil
    end
    state = { epoch = tonumber(epoch or '0'), last_seq = tonumber(last_seq or '0'), buckets = {}, large = {} }
    state.oldest, state.operations, state.bytes = struct.unpack(KEPT, kept or struct.pack(KEPT, 0, 0, 0))
    state.buckets[number] = open_bucket(bucket)
    sequences.by_session[id] = state
    return state
  end

  local function bucket(id, state, number)
    local found = state.buckets[number]
    if not found then
      -- That of the next write may be a new one.
      local is_new = number * EACH == state.last_seq
      found = open_bucket(not is_new and redis.call('HGET', keys.session(id), field_of(number)))
      state.buckets[number] = found
    end
    return found
  end

  --- The whole content of a bucket, with what this call has added.
  local function content(of)
    if not of.text then
      of.parts[1] = struct.pack(BUCKET_HEAD, of.operations, of.large_bytes)
      of.text = table.concat(of.parts)
    end
    return of.text
  end

  local function out_of_order(id, state, seq, why)
    return {
      'OUT_OF_ORDER_SEQUENCE',
      'Write ' .. whole(seq) .. ' of session ' .. id .. ' was not carried out: ' .. why,
      'seq', exact(seq),
      'lastSeq', exact(state.last_seq),
    }
  end

  --- The result of an earlier write, as it was kept; or nil and an error, if it is not stored any more.
  local function stored_result(id, state, seq)
    local number = bucket_of(seq)
    if number < state.oldest then
      return nil,
        out_of_order(
          id, state, seq,
          'the last write is ' .. whole(state.last_seq) .. ', and this one was before it; results are kept from ' .. whole(state.oldest * EACH + 1)
            .. ' on. Read what it would have changed.'
        )
    end
    local text = content(bucket(id, state, number))
    local at = BUCKET_HEAD_BYTES + 1
    for _ = number * EACH + 1, seq - 1 do at = at + RESULT_HEAD_BYTES + struct.unpack(RESULT_HEAD, text, at) end
    local length, from = struct.unpack(RESULT_HEAD, text, at)
    if length == 0 then return state.large[seq] or redis.call('HGET', keys.session(id), large_field_of(seq)) end
    return string.sub(text, from, from + length - 1)
  end

  --- Judges a write. Returns nothing if it is the next one; its stored result if it was carried out before; or nil and an error.
  function sequences.find(id, epoch, seq)
    local state = state_of(id, seq)
    if not state then
      return nil, { 'SESSION_EXPIRED', 'Session ' .. id .. ' has ended or never was; create a new one.', 'session', id }
    end
    if epoch ~= state.epoch then return nil, session.moved(id) end
    local last = state.last_seq
    if seq == last + 1 then return nil end
    if seq <= last then return stored_result(id, state, seq) end
    return nil,
      out_of_order(
        id, state, seq,
        'the last write is ' .. whole(last) .. ', so ' .. whole(last + 1) .. ' comes next. Send again, in order, what has no response. If '
          .. whole(last + 1) .. ' has one, the store has lost its last changes, and they must be made anew.'
      )
  end

  --- Stores the result of the next write: bytes. It counts as `operations`, at least as one.
  function sequences.keep(id, seq, operations, outcome)
    local state = sequences.by_session[id]
    local into = bucket(id, state, bucket_of(seq))
    local parts = into.parts
    if #outcome > INLINE_BYTES_MAX then
      state.large[seq] = outcome
      into.large_bytes = into.large_bytes + #outcome
      parts[#parts + 1] = struct.pack(RESULT_HEAD, 0)
    else
      parts[#parts + 1] = struct.pack(RESULT_HEAD, #outcome)
      parts[#parts + 1] = outcome
    end
    into.operations = into.operations + operations
    into.changed, into.text = true, false
    state.last_seq, state.changed, sequences.has_changed = seq, true, true
    state.operations = state.operations + operations
    state.bytes = state.bytes + RESULT_HEAD_BYTES + #outcome
  end

  --- Drops the oldest buckets that are not needed: the results behind them are enough by number, by operations, or by bytes.
  local function prune(id, state)
    local dropped = {}
    local function enough(operations, bytes)
      return state.last_seq - (state.oldest + 1) * EACH >= WRITES_MIN or operations >= OPERATIONS_MIN or bytes >= BYTES_MIN
    end
    while state.oldest < bucket_of(state.last_seq) and enough(state.operations, state.bytes) do
      local oldest = bucket(id, state, state.oldest)
      local operations = state.operations - oldest.operations
      local bytes = state.bytes - oldest.large_bytes - (#content(oldest) - BUCKET_HEAD_BYTES)
      if not enough(operations, bytes) then break end
      state.operations, state.bytes = operations, bytes
      state.buckets[state.oldest] = nil
      dropped[#dropped + 1] = field_of(state.oldest)
      if oldest.large_bytes > 0 then
        for seq = state.oldest * EACH + 1, (state.oldest + 1) * EACH do
          dropped[#dropped + 1] = large_field_of(seq)
          state.large[seq] = nil
        end
      end
      state.oldest = state.oldest + 1
    end
    if #dropped > 0 then redis.call('HDEL', keys.session(id), unpack(dropped)) end
  end

  local function store_state(id, state)
    prune(id, state)
    local fields = { 'last_seq', whole(state.last_seq), 'results', struct.pack(KEPT, state.oldest, state.operations, state.bytes) }
    for number, of in pairs(state.buckets) do
      if of.changed then
        fields[#fields + 1] = field_of(number)
        fields[#fields + 1] = content(of)
        of.changed = nil
      end
    end
    for seq, outcome in pairs(state.large) do
      fields[#fields + 1] = large_field_of(seq)
      fields[#fields + 1] = outcome
    end
    redis.call('HSET', keys.session(id), unpack(fields))
    state.large, state.changed = {}, nil
  end

  --- Writes the results that were kept since the last call of this function.
  function sequences.write()
    for id, state in pairs(sequences.by_session) do
      if state and state.changed then store_state(id, state) end
    end
    sequences.has_changed = false
  end

  --- Raises the connection epoch of a session by `step`. Returns it, and the sequence of the last write.
  function sequences.attach(id, step)
    local epoch, last_seq = unpack(redis.call('HMGET', keys.session(id), 'connection_epoch', 'last_seq'))
    epoch = tonumber(epoch or '0') + step
    redis.call('HSET', keys.session(id), 'connection_epoch', whole(epoch))
    return epoch, tonumber(last_seq or '0')
  end
end)
