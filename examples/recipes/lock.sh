#!/usr/bin/env bash
# lock.sh <name> <command> [arguments]: runs a command while nobody else holds the lock of that name
. "$(dirname "$0")/lib.sh"
usage 2 "$@"
LOCK=/locks/$1
shift

session_open
take_place "$LOCK" lock- "$(uname -n) $$"
wait_for_turn "$LOCK"
export LOCK_NODE=$LOCK/$PLACE
run "$@"
