#!/usr/bin/env bash
# produce.sh <topic> <text>: appends a record as the leader that election.sh runs; fails with FENCED if there is a newer one
. "$(dirname "$0")/lib.sh"
usage 2 "$@"
[ -n "${FENCE_NAME:-}" ] || fail "there is no FENCE_NAME and FENCE_TOKEN: election.sh sets them for the command that it runs"

request POST "/topics/$1/records" -H "Weir-Fence: $FENCE_NAME=$FENCE_TOKEN" -H "Idempotency-Key: $(unique)" -d "$2"
expect 200
