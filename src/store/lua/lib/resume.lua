--- @include "lib/keys"
--[[ Whether a watcher may resume after a zxid: all later transactions are still kept, and it is no lost one. ]]
local EPOCH = 4294967296

local newest = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')

--- Before it, something of the history may have been forgotten.
local function floor_of(history)
  local floor = tonumber(redis.call('HGET', keys.root, 'events_floor') or '0')
  if history == 'both' and redis.call('XLEN', keys.offset_events) >= keys.OFFSET_EVENTS_MAX then
    -- That history has no floor of its own: before its first entry, something may have been forgotten.
    local oldest = redis.call('XRANGE', keys.offset_events, '-', '+', 'COUNT', 1)[1]
    floor = math.max(floor, tonumber(string.match(oldest[1], '^%d+')) - 1)
  end
  return floor
end

--- The answer COMPACTED, or nil if a watcher may resume after `zxid`, a number as text.
local function not_resumable(zxid, floor)
  local asked = tonumber(zxid)
  local problem
  if asked > newest then
    problem = 'the newest transaction is ' .. string.format('%.0f', newest) .. ', so that one was lost or never was'
  elseif asked < floor then
    problem = 'history is kept since ' .. string.format('%.0f', floor)
  else
    -- Between the end of an ended epoch and the start of the next lie only transactions that the store has lost. 0 is before all.
    local epoch = string.format('%.0f', math.floor(asked / EPOCH))
    local begin, ended_at = unpack(redis.call('HMGET', keys.epochs, epoch .. ':begin', epoch))
    if asked > 0 and asked < tonumber(begin or '0') or asked > tonumber(ended_at or asked) then
      problem = 'the store has lost that transaction'
    end
  end
  if not problem then return nil end
  return {
    'COMPACTED',
    'Cannot resume after ' .. zxid .. ': ' .. problem .. '. Read the nodes again, then watch since the Weir-Zxid of that answer.',
    'oldest', floor,
    'zxid', newest,
  }
end
