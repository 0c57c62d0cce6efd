--- @include "lib/session"
--- @include "lib/text"
--- @include "lib/late"
--[[ The writes of a session that have a place in an order (guarantee S5): each has a sequence, one more than the one before, and
     comes from the connection that was attached last (sessions/attach.lua). The results of the newest are stored, also those
     of writes that failed, so that a repeat after a lost response gets its first result. A write behind one that was lost is
     refused, so it takes no effect.

     The results are a list of their own, as a list takes one more without the others being read or written: the newest is its
     last. Before each is a head: its sequence; then, as they were when it was stored, how many results there are, and the bytes of
     all. So the last one has the state of the session's writes. A large result is in the session's hash, in the field
     `result:<sequence>`, as the oldest of the list are read when they are dropped: the head has its bytes then, else 0. The
     list is deleted with the session. `connection_epoch` is in its hash.

     The state of a session is read and written once for each call. ]]
local sequences = { by_session = {}, has_changed = false }

late(sequences, function()
  local INLINE_BYTES_MAX = 1024
  local KEPT_HEAD, KEPT_HEAD_BYTES = '>dI4I4I4', 20
  -- At least as many results are kept as one socket may have requests in flight (src/ws), unless those behind have so many bytes that
  -- the results of all that it may have fit, which are at most twice as large as the frames (the path of an error is there twice).
  local WRITES_MIN = 256
  local BYTES_MIN = 10485760
  -- How many are dropped at once, as each time costs a command.
  local DROPPED_MIN = 16

  local function large_field_of(seq) return 'result:' .. whole(seq) end

  --- The state of a session, or nil if it has ended. `added` = what this call adds to the list; `large` = large results by sequence.
  function sequences.begin(id)
    local state = sequences.by_session[id]
    if state ~= nil then return state or nil end
    local epoch = redis.call('HGET', keys.session(id), 'connection_epoch')
    -- One that was never attached has no epoch.
    if not epoch and redis.call('EXISTS', keys.session(id)) == 0 then
      sequences.by_session[id] = false
      return nil
    end
    state = { epoch = tonumber(epoch or '0'), last_seq = 0, count = 0, bytes = 0, added = {}, large = false }
    local newest = redis.call('LINDEX', keys.results(id), -1)
    if newest then state.last_seq, state.count, state.bytes = struct.unpack(KEPT_HEAD, newest) end
    sequences.by_session[id] = state
    return state
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
    local newer, added = state.last_seq - seq, state.added
    if newer >= state.count then
      return nil,
        out_of_order(
          id, state, seq,
          'the last write is ' .. whole(state.last_seq) .. ', and this one was before it; results are kept from '
            .. whole(state.last_seq - state.count + 1) .. ' on. Read what it would have changed.'
        )
    end
    local kept = added[#added - newer] or redis.call('LINDEX', keys.results(id), #added - newer - 1)
    local _, _, _, large_bytes, from = struct.unpack(KEPT_HEAD, kept)
    if large_bytes == 0 then return string.sub(kept, from) end
    return state.large and state.large[seq] or redis.call('HGET', keys.session(id), large_field_of(seq))
  end

  --- Judges a write. Returns nothing if it is the next one; its stored result if it was carried out before; or nil and an error.
  function sequences.find(id, epoch, seq)
    local state = sequences.begin(id)
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

  --- Stores the result of the next write: bytes.
  function sequences.keep(id, seq, outcome)
    local state = sequences.by_session[id]
    local large_bytes = 0
    if #outcome > INLINE_BYTES_MAX then
      state.large = state.large or {}
      state.large[seq] = outcome
      large_bytes, outcome = #outcome, ''
    end
    state.last_seq, state.count = seq, state.count + 1
    state.bytes = state.bytes + KEPT_HEAD_BYTES + large_bytes + #outcome
    state.added[#state.added + 1] = struct.pack(KEPT_HEAD, seq, state.count, state.bytes, large_bytes) .. outcome
    sequences.has_changed = true
  end

  --- Drops the oldest results of the list.
  local function drop(id, state, count)
    local large = {}
    for _, kept in ipairs(redis.call('LPOP', keys.results(id), count)) do
      local seq, _, _, large_bytes = struct.unpack(KEPT_HEAD, kept)
      if large_bytes > 0 then large[#large + 1] = large_field_of(seq) end
      state.bytes = state.bytes - large_bytes - #kept
    end
    if #large > 0 then redis.call('HDEL', keys.session(id), unpack(large)) end
    state.count = state.count - count
  end

  --- Drops the oldest results that are not needed: those behind them are enough by number, or by bytes. What this call adds is kept.
  --- Returns whether it dropped any.
  local function prune(id, state)
    local before, added = state.count, #state.added
    local excess = math.min(state.count - WRITES_MIN, state.count - added)
    if excess >= DROPPED_MIN then drop(id, state, excess) end
    while state.bytes > BYTES_MIN and state.count > added do
      local oldest = redis.call('LINDEX', keys.results(id), 0)
      local _, _, _, large_bytes = struct.unpack(KEPT_HEAD, oldest)
      if state.bytes - large_bytes - #oldest < BYTES_MIN then break end
      drop(id, state, 1)
    end
    return state.count < before
  end

  local function store_state(id, state)
    local added = state.added
    if prune(id, state) then
      local seq, _, _, large_bytes, from = struct.unpack(KEPT_HEAD, added[#added])
      added[#added] = struct.pack(KEPT_HEAD, seq, state.count, state.bytes, large_bytes) .. string.sub(added[#added], from)
    end
    redis.call('RPUSH', keys.results(id), unpack(added))
    if state.large then
      for seq, outcome in pairs(state.large) do redis.call('HSET', keys.session(id), large_field_of(seq), outcome) end
    end
    state.added, state.large = {}, false
  end

  --- Writes the results that were kept since the last call of this function.
  function sequences.write()
    for id, state in pairs(sequences.by_session) do
      if state and #state.added > 0 then store_state(id, state) end
    end
    sequences.has_changed = false
  end

  --- Raises the connection epoch of a session by `step`. Returns it, and the sequence of the last write.
  function sequences.attach(id, step)
    local epoch = tonumber(redis.call('HGET', keys.session(id), 'connection_epoch') or '0') + step
    redis.call('HSET', keys.session(id), 'connection_epoch', whole(epoch))
    local newest = redis.call('LINDEX', keys.results(id), -1)
    return epoch, newest and (struct.unpack(KEPT_HEAD, newest)) or 0
  end
end)
