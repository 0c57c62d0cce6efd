--- @include "lib/require-open"
--- @include "lib/ops"
--- @include "lib/idempotency"
--- @include "lib/sequences"
--- @include "lib/arguments"
--- @include "lib/late"
--[[ Write requests that arrive in one call. Each is judged by itself and is a transaction of its own. They share the round
     trip, and what is read and written for all of them.

     ARGV    1 largest data of a node, bytes  2 transactions to retain in the event stream
             3 limits of stored responses (lib/record-quota.lua)  4… the requests, each packed: flags (1 = may write reserved
             paths, 2 = has a sequence, 4 = was refused before it came here, 8 = counts against a creator, 16 = a trial, which changes nothing),
             number of operations, record id of its
             Idempotency-Key or '', fingerprint of the request; with a creator: its name, and its
             limits of nodes, bytes and partitions (-1 = none, -2 = as they are stored); with a sequence: session, connection epoch, sequence; the
             operations (lib/ops.lua), or of a refused one its error in JSON
     Returns { 'OK', result, … } with one result for each request: a byte (1 = replayed, 2 = the error of a refused one), and
             the packed result of ops.run (lib/ops.lua) or that error; or an error, with the field replayed = 1 if it was stored ]]
local requests = {}

local HEAD, CREATOR, SEQUENCE, REFUSED = '>BI4I2c0I2c0', '>I2c0ddd', '>I2c0dd', '>I4c0'
-- The first byte of a stored result; that of ops.run begins with the first of them.
local SUCCEEDED, FAILED, REFUSAL = '\0', '\1', '\2'

local function apply(packed, limits)
  local flags, count, key, fingerprint, at = struct.unpack(HEAD, packed)
  limits.creator, limits.trial = nil, flags >= 16
  if limits.trial then flags = flags - 16 end
  if flags >= 8 then
    flags = flags - 8
    limits.creator, at = requests.read_creator(packed, at)
  end
  limits.privileged = flags % 2 == 1
  if flags >= 2 then return requests.apply_in_order(packed, at, count, flags >= 4, limits) end
  if key == '' then
    local done, problem = ops.run(packed, at, count, limits)
    return done or problem
  end
  local replay = idempotency.find(key, fingerprint, limits.responses)
  if replay then return replay[1] == 'OK' and '\1' .. replay[3] or replay end
  local done, problem = ops.run(packed, at, count, limits)
  if problem then return problem end
  idempotency.store(key, fingerprint, limits.responses, { 'OK', 0, string.sub(done, 2) })
  return done
end

function requests.run()
  local limits = {
    max_node_bytes = arguments.number(),
    event_retention = arguments.number(),
    responses = arguments.next(),
  }
  local reply, before = { 'OK' }, arguments.at - 1
  for i = arguments.at + 1, #ARGV do reply[i - before] = apply(ARGV[i], limits) end
  if sequences.has_changed then sequences.write() end
  txn.write(limits.event_retention)
  return reply
end

late(requests, function()
  --- Carries out the next write of a session. Returns its reply, and its result as it is stored.
  local function carry_out(packed, at, count, is_refused, limits)
    if is_refused then
      local problem = struct.unpack(REFUSED, packed, at)
      return '\2' .. problem, REFUSAL .. problem
    end
    local done, problem = ops.run(packed, at, count, limits)
    if problem then return problem, FAILED .. cmsgpack.pack(problem) end
    return done, done
  end

  --- The reply to a write of which the result is stored.
  local function replay_of(kept)
    local kind, rest = string.sub(kept, 1, 1), string.sub(kept, 2)
    if kind == SUCCEEDED then return '\1' .. rest end
    if kind == REFUSAL then return '\3' .. rest end
    local problem = cmsgpack.unpack(rest)
    problem[#problem + 1] = 'replayed'
    problem[#problem + 1] = 1
    return problem
  end

  --- Applies a request that has a sequence, unless it was carried out before or is not the next one.
  function requests.apply_in_order(packed, at, count, is_refused, limits)
    local id, epoch, seq
    id, epoch, seq, at = struct.unpack(SEQUENCE, packed, at)
    local stored, problem = sequences.find(id, epoch, seq)
    if problem then
      problem[#problem + 1] = 'zxid'
      problem[#problem + 1] = txn.newest()
      return problem
    end
    if stored then return replay_of(stored) end
    local reply, outcome = carry_out(packed, at, count, is_refused, limits)
    sequences.keep(id, seq, outcome)
    return reply
  end

  --- Decodes against whom counts what a request makes. Returns it and the position behind it.
  function requests.read_creator(packed, at)
    local name, nodes, bytes, partitions, next_at = struct.unpack(CREATOR, packed, at)
    local function given(max) return max >= -1 and max or nil end
    return { name = name, max_nodes = given(nodes), max_bytes = given(bytes), max_partitions = given(partitions) }, next_at
  end
end)
