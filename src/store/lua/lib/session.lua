--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/late"
--[[ Sessions. A session is live exactly as long as its hash exists, which only sessions/reap.lua and sessions/end.lua delete. So
     a renewal after the deadline but before the reaper still keeps it alive. ]]
local session = {}

late(session, function()
  --- What to store of a new session. `identity` is that of its client; '' without access control, and of the service itself.
  function session.create(id, secret_hash, ttl_ms, identity)
    redis.call('HSET', keys.session(id), 'secret_hash', secret_hash, 'ttl_ms', ttl_ms, 'created_at', now_ms)
    if identity ~= '' then redis.call('HSET', keys.session(id), 'identity', identity) end
    redis.call('ZADD', keys.sessions, now_ms + tonumber(ttl_ms), id)
  end

  --- The error for a session of another identity, or nil. Who has no handle must be its identity; a handle is enough for a session
  --- that has none, as it was created without access control.
  local function owner_problem(id, owner, secret_hash, identity)
    if identity == '' or identity == owner or (not owner and secret_hash ~= '') then return nil end
    local why = secret_hash ~= '' and ' belongs to another identity than ' .. identity .. ', which must create one of its own.'
      or ' is not one of ' .. identity .. '; without its handle, it is ended by its identity or an admin.'
    return { 'FORBIDDEN', 'Session ' .. id .. why, 'session', id }
  end

  --- The error for a connection in whose place a newer one was attached (sessions/attach.lua).
  function session.moved(id)
    return {
      'SESSION_MOVED',
      'A newer connection acts for session ' .. id .. '; nothing was done. Attach the session again to take it over.',
      'session', id,
    }
  end

  --- Returns nil if the session may be used, else an error reply. `secret_hash` is '' if the caller needs no handle: the broker for
  --- its own session, and who ends one by its public id. `identity` is that of the caller; '' = it may use those of all.
  --- `epoch` = its connection epoch; nil if it is no connection of the session.
  function session.problem(id, secret_hash, identity, epoch)
    local stored, owner, newest = unpack(redis.call('HMGET', keys.session(id), 'secret_hash', 'identity', 'connection_epoch'))
    if stored and (secret_hash == '' or stored == secret_hash) then
      local is_old = epoch and epoch ~= tonumber(newest or '0')
      return owner_problem(id, owner, secret_hash, identity) or (is_old and session.moved(id) or nil)
    end
    -- Who may not end a session by its id does not learn whether there is one.
    if secret_hash == '' and identity ~= '' then return owner_problem(id, nil, secret_hash, identity) end
    -- A wrong secret gives the same error as an ended session, as in ZooKeeper: it does not reveal that the session exists.
    local why = secret_hash == '' and ' has ended or never was.' or ' has ended, or this is not its handle; create a new session.'
    return { 'SESSION_EXPIRED', 'Session ' .. id .. why, 'session', id }
  end
end)
