--[[ The names of one partition's keys. All have the hash tag of KEYS[1], the partition hash, so every derived key is in the
     declared slot. src/store/keys.ts says what each key holds. ]]
local log = { partition = KEYS[1] }
do
  local base = string.sub(KEYS[1], 1, -#'partition' - 1)
  log.batches = base .. 'log'
  log.compacted = base .. 'compacted'
  log.fences = base .. 'fences'
  log.fence_uses = base .. 'fence-uses'
  log.responses = base .. 'responses'
  log.producers = base .. 'producers'
  log.replicated = base .. 'replicated'
  log.removed = base .. 'removed'
  --- The channel of removals, and the id of the log in its messages.
  function log.removals()
    local prefix, id = string.match(base, '^{(.+):([^:]+:%d+)}:$')
    return '{' .. prefix .. '}:removals', id
  end
  function log.idempotency(key) return base .. 'idempotency:' .. key end
end
