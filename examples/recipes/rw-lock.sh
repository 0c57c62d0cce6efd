#!/usr/bin/env bash
# rw-lock.sh read|write <name> <command> [arguments]: runs a command with other readers but no writer, or alone
. "$(dirname "$0")/lib.sh"
usage 3 "$@"
KIND=$1 LOCK=/rw-locks/$2
shift 2

session_open
case $KIND in
  read)
    take_place "$LOCK" read- "$(uname -n) $$"
    wait_for_turn "$LOCK" write-
    ;;
  write)
    take_place "$LOCK" write- "$(uname -n) $$"
    wait_for_turn "$LOCK"
    ;;
  *) fail "read or write, not $KIND" ;;
esac
run "$@"
