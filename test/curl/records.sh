#!/usr/bin/env bash
# Records: produce and fetch, at /v1/topics/<topic>/records and /v1/topics/<topic>/partitions/<partition>/records.
. "$(dirname "$0")/lib.sh"
JSON='Content-Type: application/json'
LOG=/v1/topics/river/partitions/0/records

request POST /v1/topics -H "$JSON" -d '{"name":"river"}'

step 'any body is a record; data of curl -d is text'
request POST /v1/topics/river/records -d 'the first drop'
expect_status 200
expect_body '{"topic":"river","results":[{"partition":0,"baseOffset":0,"count":1,"timestamp":'
request GET "$LOG"
expect_status 200
expect_body_like '^\{"topic":"river","partition":0,"records":\[\{"offset":0,"timestamp":[0-9]{13},"value":"the first drop"\}\],"nextOffset":1,"logStartOffset":0,"endOffset":1\}$'

step 'a raw record may have a key and headers'
request POST '/v1/topics/river/records?key=gauge-7' -H 'Content-Type: text/plain' -H 'Weir-Record-Unit: cm' -d '147'
expect_status 200
request GET "$LOG?offset=1"
expect_body '"key":"gauge-7"'
expect_body '"value":"147"'
expect_body '"headers":{"unit":"cm"}'

step 'binary values are base64 in JSON'
printf '\000\001\377' >"$WORK/bytes"
request POST /v1/topics/river/records -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/bytes"
expect_status 200
request GET "$LOG?offset=2"
expect_body '"valueBase64":"AAH/"'

step 'a JSON body has many records; values are any JSON, and are returned unchanged'
request POST '/v1/topics/river/records?offsets=true' -H "$JSON" -d '{"records":[
  {"key":"a","value":{"big":12345678901234567890,"one":1.0}},
  {"key":"b","value":[1,2]},
  {"key":"c"},
  {"valueBase64":"AAE=","headers":{"trace":"42"},"timestamp":1700000000000}
]}'
expect_status 200
expect_body '"results":[{"partition":0,"baseOffset":3,"count":4,'
expect_body '"offsets":[[0,3],[0,4],[0,5],[0,6]]'
request GET "$LOG?offset=3"
expect_body '"value":{"big":12345678901234567890,"one":1.0}'
expect_body '"timestamp":1700000000000'

step 'maxRecords and maxBytes limit a response; nextOffset is the offset to continue at'
request GET "$LOG?offset=0&maxRecords=2"
expect_body '"nextOffset":2'
expect_body '"endOffset":7'
request GET "$LOG?offset=0&maxBytes=1"
expect_body '"nextOffset":1'

step 'offset=latest is the end offset; a wait there ends with the next record'
request GET "$LOG?offset=latest"
expect_body '"records":[],"nextOffset":7'
open_stream tail "$LOG?offset=7&wait=30s"
request POST /v1/topics/river/records -d 'news'
until_ended tail
expect_status 200
expect_body '"value":"news"'

step 'NDJSON works for requests and responses: one record in each line'
printf '{"value":1}\n{"value":2}\n{"value":3}\n' >"$WORK/lines"
request POST /v1/topics/river/records -H 'Content-Type: application/x-ndjson' --data-binary "@$WORK/lines"
expect_status 200
expect_header Content-Type 'application/x-ndjson.*'
expect_body '"partition":0,"baseOffset":8,"count":3'
request GET "$LOG?offset=8" -H 'Accept: application/x-ndjson'
expect_status 200
expect_header Weir-Next-Offset '11'
[ "$(grep -c '"value":' "$WORK/body")" = 3 ] || fail 'there are not three lines'

step 'a key always gets the same partition; a record may name its partition'
request POST /v1/topics -H "$JSON" -d '{"name":"delta","partitions":4}'
request POST /v1/topics/delta/records -H "$JSON" -d '{"records":[{"key":"k","value":1},{"key":"k","value":2},{"value":3,"partition":3}]}'
expect_status 200
request POST '/v1/topics/delta/records?key=k' -d '4'
PARTITION=$(field partition)
expect_body '"baseOffset":2'
request GET "/v1/topics/delta/partitions/$PARTITION/records"
expect_body '"value":"4"'
request POST /v1/topics/delta/partitions/2/records -d 'just here'
expect_body '"partition":2,"baseOffset":0'

step 'an Idempotency-Key appends once, however often it is sent'
request POST /v1/topics/river/records -H 'Idempotency-Key: drop-9' -d 'only once'
expect_status 200
OFFSET=$(field baseOffset)
request POST /v1/topics/river/records -H 'Idempotency-Key: drop-9' -d 'only once'
expect_status 200
expect_header Idempotency-Replayed 'true'
expect_body "\"baseOffset\":$OFFSET"
request POST /v1/topics/river/records -H 'Idempotency-Key: drop-9' -d 'something else'
expect_problem 422 IDEMPOTENCY_KEY_REUSED

step 'a fence refuses a replaced writer: the log stores the highest token of each name'
request POST /v1/topics/river/records -H 'Weir-Fence: writer=7' -d 'by the new one'
expect_status 200
request POST /v1/topics/river/records -H 'Weir-Fence: writer=6' -d 'by the old one'
expect_problem 409 FENCED
expect_body '"token":7'
request POST /v1/topics/river/records -H 'Weir-Fence: writer=7' -d 'again'
expect_status 200
request POST /v1/topics/river/records -H 'Weir-Fence: writer' -d 'x'
expect_problem 400 BAD_REQUEST 'Weir-Fence'

step 'offsets of each partition: the start, the end, or by time'
request GET '/v1/topics/river/offsets?at=earliest'
expect_status 200
expect_body '"partitions":[{"partition":0,"offset":0}]'
request GET '/v1/topics/river/offsets'
END=$(field offset)
request GET '/v1/topics/river/offsets?at=1'
expect_body '"offset":0'
request GET "$LOG?timestamp=1&maxRecords=1"
expect_body '"offset":0'

step 'old records can be deleted; a read there gets the log start offset'
request DELETE "$LOG?before=4"
expect_status 200
expect_body "\"logStartOffset\":4,\"endOffset\":$END"
request GET "$LOG?offset=0"
expect_problem 416 OFFSET_OUT_OF_RANGE
expect_body "\"logStartOffset\":4,\"endOffset\":$END"
request GET "$LOG?offset=earliest&maxRecords=1"
expect_body '"nextOffset":5'

step 'a named producer counts its requests: a repeat is appended once, a gap is refused, a new epoch fences the old one'
request POST /v1/producers -H "$JSON" -d '{"name":"boatman"}'
expect_status 201
ID=$(field id)
EPOCH=$(field epoch)
request GET /v1/producers
expect_status 200
expect_body "\"id\":\"$ID\",\"name\":\"boatman\",\"epoch\":$EPOCH"
stamped() { printf '{"records":[{"value":"once"}],"producer":{"id":"%s","epoch":%s,"sequence":%s}}' "$ID" "$EPOCH" "$1"; }
request POST /v1/topics/river/records -H "$JSON" -d "$(stamped 0)"
expect_status 200
FIRST=$(field baseOffset)
request POST /v1/topics/river/records -H "$JSON" -d "$(stamped 0)"
expect_header Idempotency-Replayed true
expect_body "\"baseOffset\":$FIRST"
request POST /v1/topics/river/records -H "Weir-Producer: $ID:$EPOCH:1" -d 'once'
expect_status 200
request POST /v1/topics/river/records -H "$JSON" -d "$(stamped 9)"
expect_problem 409 OUT_OF_ORDER_SEQUENCE 'expects 2'
request POST /v1/producers -H "$JSON" -d '{"name":"boatman"}'
request POST /v1/topics/river/records -H "$JSON" -d "$(stamped 2)"
expect_problem 409 PRODUCER_FENCED

step 'acks=all waits for replicas; a single machine is enough unless the topic asks for more'
request POST '/v1/topics/river/records?acks=all' -d 'safe'
expect_status 200
request POST '/v1/topics/river/records?acks=2' -d 'x'
expect_problem 400 BAD_REQUEST 'query.acks'

step 'invalid requests are refused with the position of the fault, and nothing is appended'
request GET /v1/topics/river/offsets
END=$(field offset)
request POST /v1/topics/river/records -H "$JSON" -d '{"records":[{"value":1},{"valeu":2}]}'
expect_problem 400 BAD_REQUEST "'valeu'"
request POST /v1/topics/river/records -H "$JSON" -d '{"records":[]}'
expect_problem 400 BAD_REQUEST 'records'
request POST /v1/topics/river/records -H "$JSON" -d '{"records":[{"value":1,"partition":5}]}'
expect_problem 404 UNKNOWN_PARTITION
request POST /v1/topics/none/records -d 'x'
expect_problem 404 UNKNOWN_TOPIC
request GET /v1/topics/river/partitions/1/records
expect_problem 404 UNKNOWN_PARTITION
request GET "$LOG?offset=-1"
expect_problem 400 BAD_REQUEST 'query.offset'
request GET "$LOG?offset=5&timestamp=1"
expect_problem 400 BAD_REQUEST
head -c 1100000 /dev/zero | tr '\0' 'x' >"$WORK/large"
request POST /v1/topics/river/records --data-binary "@$WORK/large"
expect_problem 413 TOO_LARGE
request GET /v1/topics/river/offsets
expect_body "\"offset\":$END"

step 'the newest records of all partitions are found, by key or text'
request GET '/v1/topics/river/records?last=1'
expect_status 200
expect_header Content-Type 'application/x-ndjson'
expect_body '"value":"safe"'
expect_body '{"end":{"records":'
request GET '/v1/topics/river/records?contains=safe'
expect_body '"found":1'
request GET '/v1/topics/river/records?timestamp=0&limit=1&key=none'
expect_body '"found":0'
