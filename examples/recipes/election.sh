#!/usr/bin/env bash
# election.sh <name> <candidate> <topic> <command> [arguments]: waits to be elected, takes possession of the topic, and leads by running the command
. "$(dirname "$0")/lib.sh"
usage 4 "$@"
ELECTION=/elections/$1 CANDIDATE=$2 TOPIC=$3
export FENCE_NAME=$1
shift 3

session_open
take_place "$ELECTION" candidate- "$CANDIDATE"
wait_for_turn "$ELECTION"

# The leader's first act: once a partition has seen our token, it refuses every leader before us.
request GET "/topics/$TOPIC"
expect 200
for PARTITION in $(grep -oE '"partition":[0-9]+' "$FILES/body" | cut -d: -f2); do
  request POST "/topics/$TOPIC/partitions/$PARTITION/records?acks=all" -H "Weir-Fence: $FENCE_NAME=$FENCE_TOKEN" \
    -H "Idempotency-Key: $(unique)" -d "$CANDIDATE leads, token $FENCE_TOKEN"
  expect 200
done
run "$@"
