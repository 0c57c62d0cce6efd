#!/usr/bin/env bash
# configuration.sh <application> <key>=<value>…: changes settings, all in one transaction; configuration.mjs follows them
. "$(dirname "$0")/lib.sh"
usage 2 "$@"
SETTINGS=/settings/$1
shift

request PUT "/nodes$SETTINGS?parents=true" -H 'If-None-Match: *' -d ''
expect 201 409
while :; do
  request GET "/nodes$SETTINGS?view=children&limit=10000"
  expect 200
  KEYS=$(children) OPS=''
  for PAIR in "$@"; do
    OP=create
    if echo "$KEYS" | grep -qxF -- "${PAIR%%=*}"; then OP=set; fi
    OPS="$OPS,{\"op\":\"$OP\",\"path\":\"$SETTINGS/${PAIR%%=*}\",\"dataBase64\":\"$(printf %s "${PAIR#*=}" | base64 | tr -d '\n')\"}"
  done
  request POST /multi -H 'Content-Type: application/json' -H "Idempotency-Key: $(unique)" -d "{\"ops\":[${OPS#,}]}"
  # Another client has created or deleted one of the keys since they were listed: look again.
  expect 200 404 409
  [ "$STATUS" != 200 ] || break
done
echo "zxid $(field zxid)"
