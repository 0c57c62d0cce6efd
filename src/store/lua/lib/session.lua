--- @include "lib/keys"
--[[ Sessions. A session lives exactly as long as its hash exists: only the reaper and an explicit end remove it. So
     there is one truth about it, and a renewal that comes before the reaper keeps it alive. ]]
local session = {}

--- nil if the session may be used, else the error reply. The broker itself passes no secret: it made the session.
function session.problem(id, secret_hash)
  local stored = redis.call('HGET', keys.session(id), 'secret_hash')
  if not stored then
    return { 'SESSION_EXPIRED', 'Session ' .. id .. ' has ended or never was; create a new one.', 'session', id }
  end
  -- A wrong secret is answered like an ended session, as ZooKeeper does: it gives nothing away.
  if secret_hash ~= '' and stored ~= secret_hash then
    return { 'SESSION_EXPIRED', 'Session ' .. id .. ' has ended or never was; create a new one.', 'session', id }
  end
  return nil
end
