#!/usr/bin/env bash
# counter.sh <name> [<number to add>]: adds to a counter, by default 1, and prints its new value; 0 just reads
. "$(dirname "$0")/lib.sh"
usage 1 "$@"
COUNTER=/counters/$1
BY=${2:-1}
number 'the number to add' "$BY"

while :; do
  request GET "/nodes$COUNTER"
  expect 200 404
  # A counter that does not exist is 0, and has the tag "0": the same condition creates it.
  VALUE=0
  if [ "$STATUS" = 200 ]; then VALUE=$(cat "$FILES/body"); fi
  number "the node $COUNTER" "$VALUE"
  [ "$BY" != 0 ] || break
  request PUT "/nodes$COUNTER?parents=true" -H "If-Match: $(header ETag)" -H "Idempotency-Key: $(unique)" \
    -d "$((VALUE + BY))"
  expect 200 201 404 409 412
  case $STATUS in 20?) break ;; esac
done
echo $((VALUE + BY))
