#!/usr/bin/env bash
# discovery.sh register <service> <instance> <address> | list <service> | follow <service>: an instance while the script runs, the instances now, or at each change
. "$(dirname "$0")/lib.sh"
usage 2 "$@"
ARGUMENTS=("$@")
SERVICE=/services/$2

# An instance has nothing to stop when its session is lost: it registers again.
session_lost() {
  trap - EXIT
  cleanup
  exec "$0" "${ARGUMENTS[@]}"
}

# list: a line for each instance; those that were deleted between the two requests are left out.
list() {
  local name
  for name in $(children); do
    request GET "/nodes$SERVICE/$name"
    if [ "$STATUS" = 200 ]; then echo "$name $(cat "$FILES/body")"; fi
  done
}

case $1 in
  register)
    usage 4 "$@"
    OUTAGE=wait
    session_open
    while :; do
      request PUT "/nodes$SERVICE/$3?mode=ephemeral&parents=true" -H 'If-None-Match: *' -H "@$FILES/session" \
        -H "Idempotency-Key: $(unique)" -d "$4"
      expect 201 409
      [ "$STATUS" = 409 ] || break
      # The name is in use, perhaps by an earlier run of this instance: it is deleted with its session.
      wait_until_gone "$SERVICE/$3"
    done
    echo "registered $SERVICE/$3"
    wait "$HEARTBEAT"
    ;;
  list)
    request GET "/nodes$SERVICE?view=children&limit=10000"
    expect 200 404
    list
    ;;
  follow)
    TAG='"0"'
    while :; do
      request GET "/nodes$SERVICE?view=children&limit=10000&wait=30s" -H "If-None-Match: $TAG"
      expect 200 304 404
      if [ "$STATUS" = 304 ]; then continue; fi
      TAG=$(header ETag)
      echo "instances at zxid $(header Weir-Zxid)"
      list
    done
    ;;
  *) fail "register, list or follow, not $1" ;;
esac
