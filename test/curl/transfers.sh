#!/usr/bin/env bash
# Export, import and copy: many nodes at once, at /v1/nodes?view=export, /v1/import and /v1/copy.
. "$(dirname "$0")/lib.sh"

import() {
  request POST "/v1/import$1" -H 'Content-Type: application/x-ndjson' --data-binary "$2"
}

step 'an export has a node on each line, parents first, and ends with a line that counts them'
request PUT '/v1/nodes/app?mode=container' -d 'top'
request PUT /v1/nodes/app/colour -d 'blue'
request PUT '/v1/nodes/app/brief?ttl=1h' -d 'x'
request POST /v1/sessions
request PUT "/v1/nodes/app/live?session=$(field session)" -d 'here'
request GET '/v1/nodes/app?view=export'
expect_status 200
expect_header Content-Type 'application/x-ndjson'
expect_header Weir-Zxid '[0-9]+'
expect_body_like '^\{"path":"/app","data":"top","encoding":"utf8","contentType":"text/plain; charset=utf-8","mode":"container"\}$'
expect_body_like '^\{"path":"/app/brief","data":"x",.*"mode":"ttl","ttlMs":3600000\}$'
expect_body_like '^\{"path":"/app/colour","data":"blue",.*"mode":"persistent"\}$'
expect_body_like '^\{"end":true,"nodes":3,"ephemerals":1,"unreadable":0,"reserved":0,"zxid":[0-9]+,"lastZxid":[0-9]+\}$'
expect_no_body_text 'here'
cp "$WORK/body" "$WORK/export"
request GET '/v1/nodes/app?view=export&limit=1'
expect_problem 400 BAD_REQUEST 'limit'

step 'an export is imported as it is, to its own place or to another'
import '?path=/copy' "@$WORK/export"
expect_status 200
expect_body_is '{"lines":3,"created":3,"overwritten":0,"skipped":0,"same":0,"ephemerals":0,"complete":true,"dryRun":false}'
request GET /v1/nodes/copy/colour
expect_body_is 'blue'
import '' "@$WORK/export"
expect_body '"created":0,"overwritten":0,"skipped":0,"same":3'

step 'an export that was cut is noticed: it is not complete'
import '?dryRun' "$(head -n 2 "$WORK/export")"
expect_body '"complete":false,"dryRun":true'

step 'what exists with other content ends the import, is left, or gets the data; a dry run tells'
request PUT /v1/nodes/copy/colour -d 'red'
import '?path=/copy' "@$WORK/export"
expect_problem 409 NODE_EXISTS '/copy/colour'
expect_body '"line":3'
import '?path=/copy&onConflict=skip' "@$WORK/export"
expect_body '"skipped":1,"same":2'
import '?path=/copy&onConflict=overwrite&dryRun' "@$WORK/export"
expect_body '"overwritten":1'
request GET /v1/nodes/copy/colour
expect_body_is 'red'
import '?path=/copy&onConflict=overwrite' "@$WORK/export"
expect_body '"overwritten":1'
request GET /v1/nodes/copy/colour
expect_body_is 'blue'

step 'lines may be written by hand; a fault names its line, and nothing of its chunk is written'
import '' '{"path":"/hand","data":"1"}
{"path":"/hand/x"}'
expect_body '"created":2'
import '' '{"path":"/other","data":"1"}
{"path":"/none/x"}'
expect_problem 404 NO_PARENT 'line 2'
request GET /v1/nodes/other
expect_problem 404 NO_NODE
import '' '{"path":"/x","dta":""}'
expect_problem 400 BAD_REQUEST "'dta'"
request POST /v1/import -d '{"path":"/x"}'
expect_problem 415 UNSUPPORTED_MEDIA_TYPE 'application/x-ndjson'

step 'a repeat with the same Idempotency-Key gets the same counts'
for _ in 1 2; do
  request POST /v1/import -H 'Content-Type: application/x-ndjson' -H 'Idempotency-Key: restore-1' --data-binary '{"path":"/once"}'
  expect_body '"created":1'
done
expect_header Idempotency-Replayed 'true'

step 'a copy is one transaction, and leaves ephemeral nodes out'
copy() {
  request POST /v1/copy -H 'Content-Type: application/json' -d "$1"
}
copy '{"from":"/app","to":"/app2"}'
expect_status 201
expect_header Location '/v1/nodes/app2'
expect_body '"from":"/app","to":"/app2","nodes":3,"ephemerals":1,"stat":{'
ZXID=$(field zxid)
expect_header Weir-Zxid "$ZXID"
request GET '/v1/nodes/app2/colour?view=node'
expect_body "\"czxid\":$ZXID"
copy '{"from":"/app","to":"/app2"}'
expect_problem 409 NODE_EXISTS
copy '{"from":"/app","to":"/app/in"}'
expect_problem 400 BAD_REQUEST 'into itself'

step 'a move deletes what it copied, and does not take ephemeral nodes along'
copy '{"from":"/app","to":"/app3","move":true}'
expect_problem 409 NO_CHILDREN_FOR_EPHEMERALS '/app/live'
copy '{"from":"/app2","to":"/app3","move":true}'
expect_status 201
request GET /v1/nodes/app2
expect_problem 404 NO_NODE
request GET /v1/nodes/app3/colour
expect_body_is 'blue'
copy '{"from":"/app3","to":"/brokers/x","move":true}'
expect_problem 403 RESERVED_PATH
