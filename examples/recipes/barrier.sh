#!/usr/bin/env bash
# barrier.sh set|lift|wait <name>: sets up a barrier, lifts it, or waits until it is lifted
. "$(dirname "$0")/lib.sh"
usage 2 "$@"
BARRIER=/barriers/$2

case $1 in
  set)
    request PUT "/nodes$BARRIER?parents=true" -H 'If-None-Match: *' -d ''
    expect 201 409
    ;;
  lift)
    request DELETE "/nodes$BARRIER"
    expect 204 404
    ;;
  wait)
    request GET "/nodes$BARRIER"
    # This very barrier, by its tag: one that is set again afterwards is another.
    until expect 200 304 404 && [ "$STATUS" = 404 ]; do
      TAG=${TAG:-$(header ETag)}
      request GET "/nodes$BARRIER?wait=30s" -H "If-None-Match: $TAG"
      if [ "$STATUS" = 200 ]; then break; fi
    done
    ;;
  *) fail "set, lift or wait, not $1" ;;
esac
