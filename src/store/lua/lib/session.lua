--- @include "lib/keys"
--[[ Sessions. A session is live exactly as long as its hash exists, which only sessions/reap.lua and sessions/end.lua delete. So
     a renewal after the deadline but before the reaper still keeps it alive. ]]
local session = {}

--- Returns nil if the session may be used, else an error reply. `secret_hash` is '' for a session that the broker itself
--- created.
function session.problem(id, secret_hash)
  local stored = redis.call('HGET', keys.session(id), 'secret_hash')
  if not stored then
    return { 'SESSION_EXPIRED', 'Session ' .. id .. ' has ended or never was; create a new one.', 'session', id }
  end
  -- A wrong secret gives the same error as an ended session, as in ZooKeeper: it does not reveal that the session exists.
  if secret_hash ~= '' and stored ~= secret_hash then
    return { 'SESSION_EXPIRED', 'Session ' .. id .. ' has ended or never was; create a new one.', 'session', id }
  end
  return nil
end
