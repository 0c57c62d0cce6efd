#!/usr/bin/env bash
# double-barrier.sh <name> <members> <member> <command> [arguments]: runs a command once that many are there, and ends once all are done
. "$(dirname "$0")/lib.sh"
usage 4 "$@"
BARRIER=/double-barriers/$1 COUNT=$2 MEMBER=$3
number members "$COUNT"
shift 3

members() {
  request GET "/nodes$BARRIER/members?view=children&limit=10000"
  expect 200
}

# Enter
session_open
request PUT "/nodes$BARRIER/members/$MEMBER?mode=ephemeral&parents=true" -H 'If-None-Match: *' -H "@$FILES/session" \
  -H "Idempotency-Key: $(unique)" -d ''
expect 201
members
if [ "$(children | wc -l)" -ge "$COUNT" ]; then
  request PUT "/nodes$BARRIER/ready" -H 'If-None-Match: *' -d ''
  expect 201 409
fi
until request GET "/nodes$BARRIER/ready?wait=30s" -H 'If-None-Match: "0"' && [ "$STATUS" = 200 ]; do :; done

run "$@"

# Leave
while members && [ -n "$(children)" ]; do
  FIRST=$(children | head -n 1) LAST=$(children | tail -n 1)
  if [ "$FIRST" = "$MEMBER" ] && [ "$LAST" != "$MEMBER" ]; then
    # The first stays until it is the only one, as the others wait for it: each change wakes one member.
    wait_until_gone "$BARRIER/members/$LAST"
  else
    request DELETE "/nodes$BARRIER/members/$MEMBER"
    expect 204 404
    if [ "$FIRST" != "$MEMBER" ]; then wait_until_gone "$BARRIER/members/$FIRST"; fi
  fi
done
