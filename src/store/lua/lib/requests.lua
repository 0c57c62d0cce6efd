--- @include "lib/ops"
--- @include "lib/idempotency"
--[[ Write requests that come in one call. Each is a transaction of its own, judged by itself: they share only the way.

     ARGV    1 largest data of a node, bytes  2 transactions to keep  3 how long to keep the answer to an
             Idempotency-Key, ms; then of each request: 1 privileged ('1' = may write reserved paths)  2 idempotency key or ''
             3 fingerprint of the request  4 how many operations  5… the operations, ops.WIDTH words each (ops.read) ]]
local requests = {}

local HEAD = 4

local function answer(at, count, limits)
  local key, fingerprint = ARGV[at + 1], ARGV[at + 2]
  local reply = idempotency.find(key, fingerprint)
  if reply then return reply end
  txn.begin()
  limits.privileged = ARGV[at] == '1'
  reply = ops.run(at + HEAD, count, limits)
  if reply[1] == 'OK' then idempotency.keep(key, fingerprint, ARGV[3], reply) end
  return reply
end

--- Returns { 'OK', answer, … }: of each request what ops.run answers.
function requests.run()
  local limits = { max_node_bytes = tonumber(ARGV[1]), event_retention = tonumber(ARGV[2]) }
  local reply = { 'OK' }
  local at = 4
  while at <= #ARGV do
    local count = tonumber(ARGV[at + 3])
    reply[#reply + 1] = answer(at, count, limits)
    at = at + HEAD + count * ops.WIDTH
  end
  return reply
end
