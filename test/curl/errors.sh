#!/usr/bin/env bash
# Errors: every malformed request gets a problem that names the fault.
. "$(dirname "$0")/lib.sh"
JSON='Content-Type: application/json'

step 'a problem has a stable code, a readable text, and says whether to retry'
request GET /v1/nodes/no/such/node
expect_problem 404 NO_NODE
expect_body_like '^\{"type":"/docs/errors#NO_NODE","title":"[^"]+","status":404,"code":"NO_NODE","detail":"[^"]*/no/such/node[^"]*","retryable":false'
expect_header Weir-Zxid '[0-9]+'
expect_header X-Request-Id '.+'

step 'a typing error in a query parameter is named'
request GET '/v1/nodes/?vew=stat'
expect_problem 400 BAD_REQUEST "'vew'"
request GET '/v1/nodes/?view=stats'
expect_problem 400 BAD_REQUEST 'query.view'
request PUT '/v1/nodes/errors?mode=epehmeral'
expect_problem 400 BAD_REQUEST 'query.mode'
request DELETE '/v1/nodes/errors?recursve=true'
expect_problem 400 BAD_REQUEST "'recursve'"
request DELETE '/v1/nodes/errors?recursive=yes'
expect_problem 400 BAD_REQUEST 'query.recursive'
request PUT '/v1/nodes/errors?version=one'
expect_problem 400 BAD_REQUEST 'query.version'
request PUT '/v1/nodes/errors?ttl=30sec'
expect_problem 400 BAD_REQUEST 'query.ttl'
request PUT '/v1/nodes/errors?ttl=0'
expect_problem 400 BAD_REQUEST 'query.ttl'

step 'a typing error in a body is named'
request POST /v1/sessions -H "$JSON" -d '{"tll":"10s"}'
expect_problem 400 BAD_REQUEST "'tll'"
request POST /v1/multi -H "$JSON" -d '{"opps":[]}'
expect_problem 400 BAD_REQUEST "'opps'"
request POST /v1/multi -H "$JSON" -d '{"ops":'
expect_problem 400 BAD_REQUEST 'JSON'
request POST /v1/multi -H "$JSON"
expect_problem 400 BAD_REQUEST 'body'
request POST /v1/multi -H "$JSON" -d '[]'
expect_problem 400 BAD_REQUEST 'body'

step 'an invalid header is named'
request PUT /v1/nodes/errors -H 'If-Match: 42' -d 'x'
expect_problem 400 BAD_REQUEST 'If-Match'
request PUT /v1/nodes/errors -H 'If-None-Match: "42"' -d 'x'
expect_problem 400 BAD_REQUEST 'If-None-Match'
request PUT /v1/nodes/errors -H 'If-None-Match: *' -H 'If-Match: *' -d 'x'
expect_problem 400 BAD_REQUEST 'If-None-Match'
request POST /v1/nodes/errors- -H "Idempotency-Key: $(printf 'k%.0s' $(seq 256))"
expect_problem 400 BAD_REQUEST 'Idempotency-Key'
request GET /v1/nodes/ -H 'Weir-Session: nobody'
expect_problem 410 SESSION_EXPIRED

step 'an invalid path gets an error with the rule and the position'
request GET /v1/nodes/a//b
expect_problem 400 INVALID_PATH 'segment 2 is empty'
request GET /v1/nodes/a/../b
expect_problem 400 INVALID_PATH "'..'"
request GET /v1/nodes/./a
expect_problem 400 INVALID_PATH "'.'"
request GET /v1/nodes/a%00b
expect_problem 400 INVALID_PATH 'U+0000'
request GET /v1/nodes/a%1Fb
expect_problem 400 INVALID_PATH 'U+001F'
request GET /v1/nodes/%F0%9F%98%80
expect_problem 400 INVALID_PATH 'U+1F600'
request GET /v1/nodes/a%2F%2Fb
expect_problem 400 INVALID_PATH 'segment 2 is empty'
request GET /v1/nodes/a%FFb
expect_status 400
expect_header Content-Type 'application/problem\+json.*'

step 'the root cannot be deleted'
request DELETE /v1/nodes/
expect_problem 400 BAD_REQUEST 'root'

step 'an unsupported method and an unknown resource get different errors'
request PATCH /v1/nodes/errors
expect_problem 405 METHOD_NOT_ALLOWED 'PATCH'
expect_body 'GET'
request POST /health/live
expect_problem 405 METHOD_NOT_ALLOWED
request DELETE /v1/sessions
expect_problem 405 METHOD_NOT_ALLOWED
request GET /v1/nodez/
expect_problem 404 NOT_FOUND '/openapi.json'
request GET /v2/nodes/
expect_problem 404 NOT_FOUND

step 'an unsupported media type is named, with the supported one'
request POST /v1/multi -H 'Content-Type: application/xml' -d '<ops/>'
expect_problem 415 UNSUPPORTED_MEDIA_TYPE 'application/xml'
expect_body 'application/json'
request POST /v1/sessions -H 'Content-Type: text/plain' -d 'ttl=10s'
expect_problem 415 UNSUPPORTED_MEDIA_TYPE

step 'a request over a limit is refused with the limit'
head -c 1048577 /dev/zero >"$WORK/large"
request PUT /v1/nodes/errors-large --data-binary "@$WORK/large"
expect_problem 413 TOO_LARGE
expect_body '"maxBytes":1048576'
request GET /v1/nodes/errors-large
expect_problem 404 NO_NODE
head -c 1048576 /dev/zero >"$WORK/fits"
request PUT /v1/nodes/errors-large --data-binary "@$WORK/fits"
expect_status 201
request DELETE /v1/nodes/errors-large
head -c 17000000 /dev/zero >"$WORK/huge"
request POST /v1/multi -H "$JSON" --data-binary "@$WORK/huge"
expect_problem 413 TOO_LARGE

step 'a page of another origin is refused'
request GET /v1/nodes/ -H 'Origin: https://elsewhere.example'
expect_problem 403 FORBIDDEN 'https://elsewhere.example'
request GET /v1/nodes/ -H "Origin: $URL"
expect_status 200

step 'every code is explained at the URL of its type'
request GET /docs/errors
expect_status 200
expect_header Content-Type 'text/html.*'
expect_body 'id="NO_NODE"'
