#!/usr/bin/env bash
# queue.sh put <queue> <item>… | process <queue> <command> [arguments]: appends items in one transaction, or gives one after the other to a command, on its standard input
. "$(dirname "$0")/lib.sh"
usage 3 "$@"
ACTION=$1 QUEUE=/queues/$2
shift 2

multi() {
  request POST /multi -H 'Content-Type: application/json' -H "Idempotency-Key: $(unique)" "$@"
}

request PUT "/nodes$QUEUE?parents=true" -H 'If-None-Match: *' -d ''
expect 201 409

case $ACTION in
  put)
    OPS=''
    for ITEM in "$@"; do
      OPS="$OPS,{\"op\":\"create\",\"path\":\"$QUEUE/item-\",\"sequential\":true,\"dataBase64\":\"$(printf %s "$ITEM" | base64 | tr -d '\n')\"}"
    done
    multi -d "{\"ops\":[${OPS#,}]}"
    expect 200
    ;;
  process)
    session_open
    TAG='"0"'
    while :; do
      request GET "/nodes$QUEUE?view=children&limit=10000&wait=30s" -H "If-None-Match: $TAG"
      expect 200 304
      if [ "$STATUS" = 304 ]; then continue; fi
      TAG=$(header ETag)
      # A claim sorts behind its item: the first item that none follows is free.
      ITEM=$(children | awk -F. 'NF > 1 { free = ""; next } free != "" { exit } { free = $1 } END { print free }')
      if [ -z "$ITEM" ]; then continue; fi
      TAG='"0"'

      # The claim is deleted with its session. The check refuses it for an item that was completed since the list was read.
      multi -H "@$FILES/session" -d '{"ops":[
        {"op":"check","path":"'"$QUEUE/$ITEM"'","exists":true},
        {"op":"create","path":"'"$QUEUE/$ITEM.claim"'","mode":"ephemeral"}]}'
      expect 200 404 409
      if [ "$STATUS" != 200 ]; then continue; fi
      CLAIM=$(field zxid)

      request GET "/nodes$QUEUE/$ITEM"
      expect 200
      cp "$FILES/body" "$FILES/item"
      run "$@" <"$FILES/item"

      # The item is deleted only together with this very claim.
      multi -d '{"ops":[
        {"op":"delete","path":"'"$QUEUE/$ITEM.claim"'","mzxid":'"$CLAIM"'},
        {"op":"delete","path":"'"$QUEUE/$ITEM"'"}]}'
      expect 200
    done
    ;;
  *) fail "put or process, not $ACTION" ;;
esac
