#!/usr/bin/env bash
# Sessions, which own ephemeral nodes, at /v1/sessions.
. "$(dirname "$0")/lib.sh"

step 'a session has a public id and a secret handle'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"20s"}'
expect_status 201
expect_body '"ttlMs":20000'
expect_body_like '"expiresAt":[0-9]{13}'
SESSION=$(field session)
ID=$(field id)
EXPIRES=$(field expiresAt)
expect_header Location "/v1/sessions/$SESSION"
case $SESSION in "$ID".*) ;; *) fail 'the handle does not begin with the id' ;; esac

step 'without a body a session gets the default TTL'
request POST /v1/sessions
expect_status 201
expect_body '"ttlMs":10000'

step 'the TTL is a duration, or a number of ms, and is clamped to the limits of the server'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":15000}'
expect_body '"ttlMs":15000'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"1ms"}'
expect_status 201
expect_no_body_text '"ttlMs":1,'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"1000h"}'
expect_body '"ttlMs":86400000'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"soon"}'
expect_problem 400 BAD_REQUEST 'ttl'

step 'GET shows a session with its ephemeral nodes, and never the secret'
request PUT /v1/nodes/sessions-demo
request PUT "/v1/nodes/sessions-demo/b?mode=ephemeral&session=$SESSION"
request PUT '/v1/nodes/sessions-demo/a?mode=ephemeral' -H "Weir-Session: $SESSION"
expect_status 201
request GET "/v1/sessions/$SESSION"
expect_status 200
expect_body "\"id\":\"$ID\""
expect_body '"ephemerals":["/sessions-demo/a","/sessions-demo/b"]'
expect_no_body_text "${SESSION#*.}"

step 'sessions are listed, with a label if they have one, and never with the handle'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"20s","label":"billing on host 7"}'
LABELLED=$(field session)
request GET '/v1/sessions?limit=1000'
expect_status 200
expect_body "\"id\":\"$ID\""
expect_body '"label":"billing on host 7"'
expect_no_body_text "${SESSION#*.}"
request GET '/v1/sessions?limit=1'
expect_body_like '"next":"[0-9]+[.][0-9a-f]+"'
request GET "/v1/sessions?limit=1&after=$(field next)"
expect_status 200

step 'a session may be named by the header Weir-Session instead of the URL'
request PUT /v1/sessions/self -H "Weir-Session: $LABELLED"
expect_status 200
request DELETE /v1/sessions/self -H "Weir-Session: $LABELLED"
expect_status 204
request PUT /v1/sessions/self -H "Weir-Session: $LABELLED"
expect_problem 410 SESSION_EXPIRED

step 'PUT renews a session for its full TTL'
request PUT "/v1/sessions/$SESSION"
expect_status 200
[ "$(field expiresAt)" -ge "$EXPIRES" ] || fail 'it ends earlier than before'

step 'any request that carries the handle renews it, too'
request GET /v1/nodes/sessions-demo -H "Weir-Session: $SESSION"
expect_status 200
request GET /v1/nodes/sessions-demo -H 'Weir-Session: 0123456789abcdef.0123456789abcdefghijkl'
expect_problem 410 SESSION_EXPIRED

step 'the id alone or a wrong secret is refused'
request PUT "/v1/sessions/$ID"
expect_problem 410 SESSION_EXPIRED
request DELETE "/v1/sessions/$ID.AAAAAAAAAAAAAAAAAAAAAA"
expect_problem 410 SESSION_EXPIRED
request PUT "/v1/nodes/sessions-demo/c?mode=ephemeral&session=$ID.AAAAAAAAAAAAAAAAAAAAAA"
expect_problem 410 SESSION_EXPIRED
request GET "/v1/sessions/$SESSION"
expect_status 200

step 'DELETE ends a session and deletes its ephemeral nodes'
request DELETE "/v1/sessions/$SESSION"
expect_status 204
expect_header Weir-Zxid '[0-9]+'
request GET '/v1/nodes/sessions-demo?view=children'
expect_body '"children":[]'
request DELETE "/v1/sessions/$SESSION"
expect_problem 410 SESSION_EXPIRED
request PUT "/v1/nodes/sessions-demo/d?mode=ephemeral&session=$SESSION"
expect_problem 410 SESSION_EXPIRED

step 'a session that is not renewed expires, and its ephemeral nodes are deleted'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"2s"}'
SESSION=$(field session)
request PUT "/v1/nodes/sessions-demo/brief?mode=ephemeral&session=$SESSION"
expect_status 201
until_status 404 GET /v1/nodes/sessions-demo/brief
request GET "/v1/sessions/$SESSION"
expect_problem 410 SESSION_EXPIRED

step 'an Idempotency-Key makes the creation safe to repeat: the repeat gets the same handle'
request POST /v1/sessions -H 'Idempotency-Key: my-session-4f1c9a07'
SESSION=$(field session)
request POST /v1/sessions -H 'Idempotency-Key: my-session-4f1c9a07'
expect_status 201
expect_header Idempotency-Replayed 'true'
expect_body "\"session\":\"$SESSION\""
request POST /v1/sessions -H 'Idempotency-Key: my-session-4f1c9a07' -H 'Content-Type: application/json' -d '{"ttl":"1h"}'
expect_problem 422 IDEMPOTENCY_KEY_REUSED
