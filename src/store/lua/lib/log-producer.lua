--- @include "lib/log"
--- @include "lib/clock"
--[[ The state of a producer in one log: its newest epoch here, its next sequence (counted at the producer's home only), the
     results of its last requests, its last use, and the identity to which it belongs, if any. docs/adr/007 says how the logs of a request work together. ]]
local producer = { RESULTS_MAX = 5 }

--- The state { epoch, used, next, answers, identity }, or nil. The field of the results is called `answers` in stored data.
function producer.find(id)
  local stored = redis.call('HGET', log.producers, id)
  return stored and cmsgpack.unpack(stored)
end

function producer.save(id, state)
  state.used = now_ms
  redis.call('HSET', log.producers, id, cmsgpack.pack(state))
end

--- The state at the beginning of an epoch. `identity` = to which the registry says that the producer belongs, or nil.
function producer.begin(epoch, identity) return { epoch = epoch, next = 0, answers = {}, identity = identity } end

--- Checks a request { producer, epoch, sequence, home, joined, identity, actor }; `actor` = whose producers its sender may use, nil
--- = of all. Returns the first result of a repeat, or an error; or nil
--- and the state to pass to producer.note, if the request is new.
function producer.judge(request)
  local state = producer.find(request.producer)
  if state and state.identity and request.actor and state.identity ~= request.actor then
    return {
      'FORBIDDEN',
      'Producer ' .. request.producer .. ' belongs to another identity than ' .. request.actor .. '; register one of your own.',
    }
  end
  if state and request.epoch < state.epoch then
    return {
      'PRODUCER_FENCED',
      'Epoch ' .. whole(request.epoch) .. ' of producer ' .. request.producer .. ' is fenced: epoch ' .. whole(state.epoch)
        .. ' was given out after it.',
      'epoch', exact(state.epoch),
    }
  end
  if not state or state.epoch < request.epoch then
    if not request.joined then
      return { 'UNKNOWN_PRODUCER', 'This log does not know epoch ' .. whole(request.epoch) .. ' of producer ' .. request.producer .. '.' }
    end
    state = producer.begin(request.epoch, request.identity)
  end
  local oldest = request.sequence
  for _, result in ipairs(state.answers) do
    local sequence, base, count, time, partitions = unpack(result)
    if sequence == request.sequence then return { 'OK', 1, base, count, time, partitions } end
    oldest = math.min(oldest, sequence)
  end
  -- Logs other than the home receive only some requests, in any order. But a request older than all stored results may have been
  -- appended already: a broker may have delayed it, while its client continued through other brokers.
  local is_forgotten = #state.answers == producer.RESULTS_MAX and request.sequence == oldest
  if is_forgotten or (request.home and request.sequence ~= state.next) then
    return {
      'OUT_OF_ORDER_SEQUENCE',
      'Producer ' .. request.producer .. ' sent sequence ' .. whole(request.sequence) .. '; this topic expects ' .. whole(state.next)
        .. ', or a repeat of one of the last ' .. producer.RESULTS_MAX .. '. What is missing was not appended.',
      'expected', exact(state.next),
      'got', exact(request.sequence),
    }
  end
  return nil, state
end

--- Stores a request with its result, together with the append.
function producer.note(request, state, base, count)
  state.next = math.max(state.next, request.sequence + 1)
  state.answers[#state.answers + 1] = { request.sequence, base, count, now_ms, request.partitions }
  if #state.answers > producer.RESULTS_MAX then
    -- The lowest sequence is dropped, whenever it arrived: so dropped results are below all stored ones.
    local lowest = 1
    for i, result in ipairs(state.answers) do
      if result[1] < state.answers[lowest][1] then lowest = i end
    end
    table.remove(state.answers, lowest)
  end
  producer.save(request.producer, state)
end
