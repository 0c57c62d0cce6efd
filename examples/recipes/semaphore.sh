#!/usr/bin/env bash
# semaphore.sh <name> <permits> <command> [arguments]: runs a command while no more than that many hold the semaphore
. "$(dirname "$0")/lib.sh"
usage 3 "$@"
SEMAPHORE=/semaphores/$1 PERMITS=$2
number permits "$PERMITS"
shift 2

session_open
request PUT "/nodes$SEMAPHORE/leases?parents=true" -H 'If-None-Match: *' -d ''
expect 201 409
take_place "$SEMAPHORE/queue" place- "$(uname -n) $$"
wait_for_turn "$SEMAPHORE/queue"

# Only the first in the queue gets a lease, so their number can only fall while it looks.
TAG='"0"'
while :; do
  request GET "/nodes$SEMAPHORE/leases?view=children&limit=10000&wait=30s" -H "If-None-Match: $TAG"
  expect 200 304
  if [ "$STATUS" = 304 ]; then continue; fi
  TAG=$(header ETag)
  [ "$(children | wc -l)" -ge "$PERMITS" ] || break
done

# The place becomes a lease in one transaction; if the session was lost meanwhile, there is no place, and no lease.
request POST /multi -H 'Content-Type: application/json' -H "@$FILES/session" -H "Idempotency-Key: $(unique)" -d '{"ops":[
  {"op":"delete","path":"'"$SEMAPHORE/queue/$PLACE"'"},
  {"op":"create","path":"'"$SEMAPHORE/leases/lease-"'","mode":"ephemeral","sequential":true}]}'
expect 200
run "$@"
