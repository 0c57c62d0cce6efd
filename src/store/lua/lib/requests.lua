--- @include "lib/require-open"
--- @include "lib/ops"
--- @include "lib/idempotency"
--[[ Write requests that come in one call. Each is a transaction of its own, judged by itself: they share the way, and what
     is read and written for all of them.

     ARGV    1 largest data of a node, bytes  2 transactions to keep  3 limits of kept responses
             (lib/record-quota.lua)  4… a request each, packed: whether it may write reserved paths, how many operations,
             id of the record for its Idempotency-Key or '', fingerprint of the request, then the operations (lib/ops.lua)
     Returns { 'OK', answer, … }: of each request the packed answer (replayed, zxid, results: lib/ops.lua), or an error ]]
local requests = {}

local HEAD = '>BI4I2c0I2c0'

local function answer(packed, limits)
  local privileged, count, key, fingerprint, at = struct.unpack(HEAD, packed)
  local kept = idempotency.find(key, fingerprint, ARGV[3])
  if kept then return kept[1] == 'OK' and '\1' .. kept[3] or kept end
  limits.privileged = privileged == 1
  local done, problem = ops.run(packed, at, count, limits)
  if problem then return problem end
  idempotency.keep(key, fingerprint, ARGV[3], { 'OK', 0, done })
  return '\0' .. done
end

function requests.run()
  local limits = { max_node_bytes = tonumber(ARGV[1]), event_retention = tonumber(ARGV[2]) }
  local reply = { 'OK' }
  for i = 4, #ARGV do reply[i - 2] = answer(ARGV[i], limits) end
  txn.write(limits.event_retention)
  return reply
end
