--- @include "lib/late"
--[[ The names of the coordination keys. All have the hash tag of KEYS[1], the root hash, so every derived key is in the
     declared slot. src/store/keys.ts says what each key holds. ]]
local keys = { root = KEYS[1], base = string.sub(KEYS[1], 1, -5) }
function keys.node(path) return keys.base .. 'node:' .. path end
function keys.children(path) return keys.base .. 'children:' .. path end
function keys.session(id) return keys.base .. 'session:' .. id end
keys.events = keys.base .. 'transactions'
late(keys, function()
  function keys.results(id) return keys.base .. 'results:' .. id end
  function keys.ephemerals(id) return keys.base .. 'ephemerals:' .. id end
  function keys.response(id) return keys.base .. 'response:' .. id end
  function keys.group(group) return keys.base .. 'group:' .. group end
  function keys.positions(group) return keys.base .. 'positions:' .. group end
  function keys.producer(id) return keys.base .. 'producer:' .. id end
  function keys.producer_logs(id) return keys.base .. 'producer-logs:' .. id end
  function keys.offset_details(group) return keys.base .. 'offset-details:' .. group end
  function keys.creator(number) return keys.base .. 'creator:' .. number end
  keys.creators = keys.base .. 'creators'
  function keys.access_token(id) return keys.base .. 'access-token:' .. id end
  function keys.access_tokens_of(identity) return keys.base .. 'access-tokens:' .. identity end
  function keys.access_tickets_of(identity) return keys.base .. 'access-tickets:' .. identity end
  function keys.access_ticket(hash) return keys.base .. 'access-ticket:' .. hash end
  keys.access_tokens = keys.base .. 'access-tokens'
  keys.access_tickets = keys.base .. 'access-tickets'
  keys.offset_events = keys.base .. 'offset-transactions'
  keys.older_events = keys.base .. 'events'
  keys.older_offset_events = keys.base .. 'offset-events'
  keys.epochs = keys.base .. 'epochs'
  keys.migration = keys.base .. 'migration'
  keys.sessions = keys.base .. 'sessions'
  keys.ephemeral_bytes = keys.base .. 'ephemeral-bytes'
  keys.transients = keys.base .. 'transients'
  keys.timers = keys.base .. 'timers'
  keys.offset_ages = keys.base .. 'offset-ages'
  keys.producers = keys.base .. 'producers'
  keys.producer_names = keys.base .. 'producer-names'
  keys.responses = keys.base .. 'responses'
end)
