--- @include "lib/keys"
--[[ Whether a watcher may resume after a zxid: all later transactions are retained, and the zxid belongs to none that was lost. ]]
local EPOCH = 4294967296

local newest = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')

--- The zxid up to which transactions of a history may have been deleted.
local function floor_of(history)
  local main, offsets = unpack(redis.call('HMGET', keys.root, 'events_floor', 'offset_events_floor'))
  local floor = tonumber(main or '0')
  if history == 'both' then floor = math.max(floor, tonumber(offsets or '0')) end
  return floor
end

--- The error COMPACTED, or nil if a watcher may resume after `zxid`, a number as text.
local function not_resumable(zxid, floor)
  local asked = tonumber(zxid)
  local problem
  if asked > newest then
    problem = 'the newest transaction is ' .. string.format('%.0f', newest) .. ', so that one was lost or never was'
  elseif asked < floor then
    problem = 'history is kept since ' .. string.format('%.0f', floor)
  else
    -- Zxids between the end of an epoch and the begin of the next belong to lost transactions. 0 is before all of them.
    local epoch = string.format('%.0f', math.floor(asked / EPOCH))
    local begin, ended_at = unpack(redis.call('HMGET', keys.epochs, epoch .. ':begin', epoch))
    if asked > 0 and asked < tonumber(begin or '0') or asked > tonumber(ended_at or asked) then
      problem = 'the history of this cluster does not have that transaction: it was lost, or never was'
    end
  end
  if not problem then return nil end
  return {
    'COMPACTED',
    'Cannot resume after ' .. zxid .. ': ' .. problem .. '. Read the nodes again, then watch since the Weir-Zxid of that response.',
    'oldest', floor,
    'zxid', newest,
  }
end
