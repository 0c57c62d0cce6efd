#!/usr/bin/env bash
# Watches: changes of the tree as server-sent events, at /v1/watch/<path>. (The socket /v1/watch has the same events.)
. "$(dirname "$0")/lib.sh"

step 'a watch begins with the zxid after which it sends all changes'
request PUT /v1/nodes/tower -d 'quiet'
START=$(header Weir-Zxid)
open_stream node '/v1/watch/tower?data=true'
until_streamed node 'data: {"type":"watching","zxid":'
grep -qi '^content-type: text/event-stream' "$WORK/node.headers" || fail 'the stream is no text/event-stream'

step 'mode=node, the default: changes of the node and of its child list'
request PUT /v1/nodes/tower -d 'bell'
CHANGED=$(header Weir-Zxid)
until_streamed node "id: $CHANGED"
until_streamed node "data: {\"type\":\"events\",\"zxid\":$CHANGED,\"events\":[{\"type\":\"changed\",\"path\":\"/tower\",\"stat\":{"
until_streamed node '"data":"bell","encoding":"utf8"'
request PUT /v1/nodes/tower/room -d 'x'
until_streamed node '{"type":"children","path":"/tower"'

step 'mode=children: only the child list; mode=recursive: the whole subtree'
open_stream children '/v1/watch/tower?mode=children'
open_stream recursive '/v1/watch/tower?mode=recursive'
until_streamed children '"watching"'
until_streamed recursive '"watching"'
request PUT '/v1/nodes/tower/room/table/cup?parents=true' -d 'tea'
request PUT /v1/nodes/tower/stairs -d 'x'
LAST=$(header Weir-Zxid)
until_streamed children "id: $LAST"
until_streamed recursive "id: $LAST"
grep -Fq '"path":"/tower/room/table/cup"' "$WORK/recursive" || fail 'the event of a deep descendant is missing'
! grep -Fq '"path":"/tower/room' "$WORK/children" || fail 'a watch of the child list got events of other nodes'

step 'one message is one whole transaction'
request POST /v1/multi -H 'Content-Type: application/json' \
  -d '{"ops":[{"op":"create","path":"/tower/a"},{"op":"create","path":"/tower/b"},{"op":"delete","path":"/tower/stairs"}]}'
ZXID=$(field zxid)
until_streamed recursive "id: $ZXID"
[ "$(grep -c "^id: $ZXID\$" "$WORK/recursive")" = 1 ] || fail 'the transaction is split over messages'
grep "\"zxid\":$ZXID," "$WORK/recursive" | grep -F '"path":"/tower/a"' | grep -F '"path":"/tower/b"' |
  grep -Fq '{"type":"deleted","path":"/tower/stairs"' || fail 'the message does not have all of the transaction'

step 'since=<zxid> replays all changes after it'
open_stream replay "/v1/watch/tower?mode=recursive&since=$START"
until_streamed replay "id: $ZXID"
grep -Fq "id: $CHANGED" "$WORK/replay" || fail 'the first change is missing'

step 'Last-Event-ID resumes, as an EventSource of a browser sends it'
open_stream resumed '/v1/watch/tower?mode=recursive' -H "Last-Event-ID: $LAST"
until_streamed resumed "id: $ZXID"
! grep -Fq "id: $CHANGED" "$WORK/resumed" || fail 'an event was sent again'

step 'once=true ends after the first message'
open_stream once "/v1/watch/tower?mode=recursive&once=true&since=$START"
until_ended once
expect_status 200
expect_body "id: $CHANGED"
expect_no_body_text "id: $ZXID"

step 'a node may be watched before it exists'
open_stream absent '/v1/watch/not-yet'
until_streamed absent '"watching"'
request PUT /v1/nodes/not-yet -d '1'
until_streamed absent '{"type":"created","path":"/not-yet"'
request DELETE /v1/nodes/not-yet
until_streamed absent '{"type":"deleted","path":"/not-yet"'

step 'a zxid without history is COMPACTED: read again, then watch since the Weir-Zxid of the read'
request GET '/v1/watch/tower?since=9007199254740991'
expect_status 200
expect_body 'event: problem'
expect_body '"status":410,"code":"COMPACTED"'
expect_body_like '"oldest":[0-9]+'

step 'invalid requests are refused before the stream begins'
request GET '/v1/watch/tower?mode=all'
expect_problem 400 BAD_REQUEST 'query.mode'
request GET '/v1/watch/tower?from=1'
expect_problem 400 BAD_REQUEST "'from'"
request GET /v1/watch/tower//a
expect_problem 400 INVALID_PATH
request GET '/v1/watch/tower' -H 'Last-Event-ID: yesterday'
expect_problem 400 BAD_REQUEST 'last-event-id'

step 'past transactions are listed, the newest first'
request GET '/v1/events?path=/tower&limit=2'
expect_status 200
expect_body '{"transactions":[{"zxid":'
NEXT=$(field next)
request GET "/v1/events?path=/tower&limit=1&before=$NEXT"
expect_body '"path":"/tower'
