#!/usr/bin/env bash
# membership.sh <group> <member>: is a member while it runs, and prints the members at each change
. "$(dirname "$0")/lib.sh"
usage 2 "$@"
GROUP=/groups/$1 MEMBER=$2
OUTAGE=wait

# Other members have seen this one leave: it comes back as a new one.
session_lost() {
  trap - EXIT
  cleanup
  exec "$0" "${GROUP#/groups/}" "$MEMBER"
}

session_open
while :; do
  request PUT "/nodes$GROUP/$MEMBER?mode=ephemeral&parents=true" -H 'If-None-Match: *' -H "@$FILES/session" \
    -H "Idempotency-Key: $(unique)" -d "$(uname -n) $$"
  expect 201 409
  [ "$STATUS" = 409 ] || break
  wait_until_gone "$GROUP/$MEMBER"
done

TAG='"0"'
while :; do
  request GET "/nodes$GROUP?view=children&limit=10000&wait=30s" -H "If-None-Match: $TAG"
  expect 200 304
  if [ "$STATUS" = 304 ]; then continue; fi
  TAG=$(header ETag)
  echo $(children)
done
