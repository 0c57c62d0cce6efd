--- @include "lib/keys"
--[[ Sessions. A session is live exactly as long as its hash exists, which only sessions/reap.lua and sessions/end.lua delete. So
     a renewal after the deadline but before the reaper still keeps it alive. ]]
local session = {}

--- Returns nil if the session may be used, else an error reply. `secret_hash` is '' if the caller needs no handle: the broker for
--- its own session, and an operator for any.
function session.problem(id, secret_hash)
  local stored = redis.call('HGET', keys.session(id), 'secret_hash')
  if stored and (secret_hash == '' or stored == secret_hash) then return nil end
  -- A wrong secret gives the same error as an ended session, as in ZooKeeper: it does not reveal that the session exists.
  local why = secret_hash == '' and ' has ended or never was.' or ' has ended, or this is not its handle; create a new session.'
  return { 'SESSION_EXPIRED', 'Session ' .. id .. why, 'session', id }
end
