#!/usr/bin/env bash
# Streams: a topic's records as they come, as server-sent events, at /v1/topics/<topic>/stream. (Upgraded to a WebSocket, the
# same address sends as many records as the reader has given credit for.)
. "$(dirname "$0")/lib.sh"
JSON='Content-Type: application/json'
STREAM=/v1/topics/brook/stream

request POST /v1/topics -H "$JSON" -d '{"name":"brook","partitions":2}'
ID=$(field topicId)

step 'a stream begins at the end, and first sends that position'
request POST /v1/topics/brook/partitions/0/records -d 'old'
open_stream live "$STREAM"
until_streamed live "id: $ID@0:1,1:0"
until_streamed live "data: {\"type\":\"position\",\"position\":\"$ID@0:1,1:0\"}"
grep -qi '^content-type: text/event-stream' "$WORK/live.headers" || fail 'the stream is no text/event-stream'

step 'records arrive as they are appended; the id of each message is the next position'
request POST /v1/topics/brook/partitions/1/records -H "$JSON" -d '{"records":[{"key":"k","value":{"n":1}},{"value":2}]}'
until_streamed live "id: $ID@0:1,1:2"
until_streamed live 'data: {"type":"records","partition":1,"records":[{"offset":0,"timestamp":'
until_streamed live '"key":"k","value":{"n":1}},{"offset":1,'
! grep -Fq '"old"' "$WORK/live" || fail 'an earlier record was sent, too'

step 'offset=earliest begins at the log start; offset=<number> needs one partition'
open_stream earliest "$STREAM?offset=earliest"
until_streamed earliest '"value":"old"'
until_streamed earliest "id: $ID@0:1,1:2"
open_stream one "$STREAM?partition=1&offset=1"
until_streamed one "id: $ID@1:2"
until_streamed one '"records":[{"offset":1,'
request GET "$STREAM?offset=1"
expect_problem 400 BAD_REQUEST 'partition'

step 'a position as offset, or Last-Event-ID, as an EventSource sends it, resumes there'
open_stream position "$STREAM?offset=0:1,1:1"
until_streamed position "id: $ID@0:1,1:2"
open_stream resumed "$STREAM" -H "Last-Event-ID: $ID@0:0,1:2"
until_streamed resumed '"value":"old"'
for name in position resumed; do
  ! grep -Fq '"n":1' "$WORK/$name" || fail 'a record was sent again'
done

step 'timestamp=<ms since the epoch> begins at the first records that are not older'
LATER=$(($(date +%s) * 1000 + 1800000))
request POST /v1/topics/brook/partitions/0/records -H "$JSON" -d "{\"records\":[{\"value\":\"later\",\"timestamp\":$LATER}]}"
open_stream moment "$STREAM?timestamp=$((LATER - 1))"
until_streamed moment '"value":"later"'
! grep -Fq '"old"' "$WORK/moment" || fail 'an older record was sent, too'

step 'partitions that are added later are included'
request PATCH /v1/topics/brook -H "$JSON" -d '{"partitions":3}'
request POST /v1/topics/brook/partitions/2/records -d 'new'
until_streamed live "id: $ID@0:2,1:2,2:1"
until_streamed live '"partition":2,"records":[{"offset":0,'

step 'records that retention or a deletion removed cannot be read'
request DELETE '/v1/topics/brook/partitions/0/records?before=1'
request GET "$STREAM" -H "Last-Event-ID: $ID@0:0,1:0"
expect_status 200
expect_body 'event: problem'
expect_body '"code":"OFFSET_OUT_OF_RANGE"'
expect_body '"partition":0,"offset":0,"logStartOffset":1,"endOffset":2'

step 'when the topic is deleted, the stream ends with an error; a topic of the same name is another one'
open_stream last "$STREAM"
until_streamed last '"position"'
request DELETE /v1/topics/brook
until_ended last
expect_status 200
expect_body 'event: problem'
expect_body '"code":"UNKNOWN_TOPIC"'
request GET "$STREAM"
expect_problem 404 UNKNOWN_TOPIC
request POST /v1/topics -H "$JSON" -d '{"name":"brook"}'
request GET "$STREAM" -H "Last-Event-ID: $ID@0:2"
expect_status 200
expect_body 'earlier topic'

step 'invalid requests are refused before the stream begins'
request GET "$STREAM?offset=first"
expect_problem 400 BAD_REQUEST 'query.offset'
request GET "$STREAM?partitions=0"
expect_problem 400 BAD_REQUEST "'partitions'"
request GET "$STREAM?partition=7"
expect_problem 404 UNKNOWN_PARTITION
request GET "$STREAM" -H 'Last-Event-ID: yesterday'
expect_problem 400 BAD_REQUEST 'last-event-id'
