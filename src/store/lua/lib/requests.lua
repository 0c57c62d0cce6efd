--- @include "lib/require-open"
--- @include "lib/ops"
--- @include "lib/idempotency"
--- @include "lib/arguments"
--[[ Write requests that arrive in one call. Each is judged by itself and is a transaction of its own. They share the round
     trip, and what is read and written for all of them.

     ARGV    1 largest data of a node, bytes  2 transactions to retain in the event stream
             3 limits of stored responses (lib/record-quota.lua)  4… the requests, each packed: whether it may write reserved
             paths, number of operations, record id of its Idempotency-Key or '', fingerprint of the request, the operations
             (lib/ops.lua)
     Returns { 'OK', result, … } with one result for each request: replayed (a byte, 1/0) and the packed result of ops.run
             (lib/ops.lua); or an error ]]
local requests = {}

local HEAD = '>BI4I2c0I2c0'

local function apply(packed, limits)
  local privileged, count, key, fingerprint, at = struct.unpack(HEAD, packed)
  local replay = idempotency.find(key, fingerprint, limits.responses)
  if replay then return replay[1] == 'OK' and '\1' .. replay[3] or replay end
  limits.privileged = privileged == 1
  local done, problem = ops.run(packed, at, count, limits)
  if problem then return problem end
  idempotency.store(key, fingerprint, limits.responses, { 'OK', 0, done })
  return '\0' .. done
end

function requests.run()
  local limits = {
    max_node_bytes = arguments.number(),
    event_retention = arguments.number(),
    responses = arguments.next(),
  }
  local reply = { 'OK' }
  for i = arguments.at + 1, #ARGV do reply[#reply + 1] = apply(ARGV[i], limits) end
  txn.write(limits.event_retention)
  return reply
end
