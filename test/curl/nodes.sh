#!/usr/bin/env bash
# Nodes: a tree of small files with versions, at /v1/nodes/<path>.
. "$(dirname "$0")/lib.sh"

step 'PUT creates a node'
request PUT /v1/nodes/shop -d 'open'
expect_status 201
expect_header Location '/v1/nodes/shop'
expect_header ETag '"[0-9]+"'
expect_header Weir-Zxid '[0-9]+'
expect_header Content-Type 'application/json.*'
expect_body '"path":"/shop"'
expect_body '"version":0'
expect_body '"ephemeralOwner":null'

step 'GET returns the raw bytes; data of curl -d is text, not a form'
request GET /v1/nodes/shop
expect_status 200
expect_body_is 'open'
expect_header Content-Type 'text/plain; charset=utf-8'
expect_header Weir-Stat '\{"czxid":[0-9]+,.*"dataLength":4,"numChildren":0,"mode":"persistent"\}'
expect_header X-Content-Type-Options 'nosniff'
expect_header Content-Security-Policy ".*sandbox.*"
ETAG=$(header ETag)

step 'HEAD is GET without the body'
head_request /v1/nodes/shop
expect_status 200
expect_header ETag "$ETAG"
expect_header Content-Length '4'

step 'PUT sets the data of an existing node: its version grows, its ETag changes'
request PUT /v1/nodes/shop -d 'closed'
expect_status 200
expect_no_header Location
expect_body '"version":1'
[ "$(header ETag)" != "$ETAG" ] || fail 'the ETag is still the same'

step 'a content type is stored with the data, and bytes are unchanged'
printf '\377\376\000\001' >"$WORK/bytes"
request PUT /v1/nodes/shop/logo --data-binary "@$WORK/bytes" -H 'Content-Type: image/x-test'
expect_status 201
request GET /v1/nodes/shop/logo
expect_header Content-Type 'image/x-test'
cmp -s "$WORK/bytes" "$WORK/body" || fail 'the bytes are not those that were sent'

step 'without a content type, bytes that are not UTF-8 are octets'
request PUT /v1/nodes/shop/raw --data-binary "@$WORK/bytes" -H 'Content-Type:'
expect_status 201
request GET /v1/nodes/shop/raw
expect_header Content-Type 'application/octet-stream'

step 'a node may be empty'
request PUT /v1/nodes/shop/empty
expect_status 201
expect_body '"dataLength":0'
request GET '/v1/nodes/shop/empty'
expect_status 200
expect_body_is ''

step 'view=node returns the whole node as JSON'
request GET '/v1/nodes/shop?view=node'
expect_status 200
expect_body '{"path":"/shop","data":"closed","encoding":"utf8","contentType":"text/plain; charset=utf-8","stat":{'
request GET '/v1/nodes/shop/logo?view=node'
expect_body '"data":"//4AAQ==","encoding":"base64","contentType":"image/x-test"'

step 'view=stat returns only the stat'
request GET '/v1/nodes/shop?view=stat'
expect_status 200
expect_body '"numChildren":3'
expect_body '"cversion":3'
expect_no_body_text '"data"'

step 'view=children lists the names in order'
request GET '/v1/nodes/shop?view=children'
expect_status 200
expect_body '"children":["empty","logo","raw"]'
expect_no_body_text '"next"'

step 'children come in pages: next is the name to continue after'
request GET '/v1/nodes/shop?view=children&limit=2'
expect_body '"children":["empty","logo"],"next":"logo"'
request GET '/v1/nodes/shop?view=children&limit=2&after=logo'
expect_body '"children":["raw"]'
expect_no_body_text '"next"'

step 'stats=true adds the stat of each child'
request GET '/v1/nodes/shop?view=children&stats=true&limit=1'
expect_body '"children":[{"name":"empty","stat":{"czxid":'

step 'view=tree returns the subtree, up to a depth and a number of nodes'
request PUT /v1/nodes/shop/empty/deep -d '1'
request GET '/v1/nodes/shop?view=tree'
expect_status 200
expect_body_like '"tree":\{"name":"/shop",.*"children":\[\{"name":"empty",.*"children":\[\{"name":"deep",'
expect_body '"truncated":false'
request GET '/v1/nodes/shop?view=tree&depth=1'
expect_no_body_text '"name":"deep"'
expect_body_like '"truncated":true\}$'
request GET '/v1/nodes/shop?view=tree&limit=2'
expect_body_like '"truncated":true\}$'

step 'the root is a node, too'
request GET '/v1/nodes/?view=children'
expect_status 200
expect_body '"path":"/","children":["admin",'

step 'If-None-Match: * creates only'
request PUT /v1/nodes/shop -H 'If-None-Match: *' -d 'mine'
expect_problem 409 NODE_EXISTS '/shop'
request GET /v1/nodes/shop
expect_body_is 'closed'

step 'If-Match compares and sets, by the ETag'
ETAG=$(header ETag)
request PUT /v1/nodes/shop -H "If-Match: $ETAG" -d 'reopened'
expect_status 200
request PUT /v1/nodes/shop -H "If-Match: $ETAG" -d 'too late'
expect_problem 412 BAD_VERSION
expect_body '"version":2'

step 'version=N compares the version, and -1 matches any'
request PUT '/v1/nodes/shop?version=2' -d 'v3'
expect_status 200
request PUT '/v1/nodes/shop?version=2' -d 'v3 again'
expect_problem 412 BAD_VERSION
request PUT '/v1/nodes/shop?version=-1' -d 'v4'
expect_status 200
expect_body '"version":4'

step 'If-Match: * sets only what exists'
request PUT /v1/nodes/absent -H 'If-Match: *' -d 'x'
expect_problem 404 NO_NODE '/absent'

step 'a GET with the current ETag transfers no data'
request GET /v1/nodes/shop
ETAG=$(header ETag)
request GET /v1/nodes/shop -H "If-None-Match: $ETAG"
expect_status 304
expect_body_is ''
request GET '/v1/nodes/shop?view=children'
LIST_ETAG=$(header ETag)
request GET '/v1/nodes/shop?view=children' -H "If-None-Match: $LIST_ETAG"
expect_status 304
request PUT /v1/nodes/shop/new -d ''
request GET '/v1/nodes/shop?view=children' -H "If-None-Match: $LIST_ETAG"
expect_status 200
request GET /v1/nodes/shop -H "If-None-Match: $ETAG"
expect_status 304

step 'a long poll waits for the next change of the node, or of its list of children'
open_stream poll '/v1/nodes/shop?wait=30s' -H "If-None-Match: $ETAG"
request PUT /v1/nodes/shop -d 'changed while you waited'
expect_status 200
until_ended poll
expect_status 200
expect_body_is 'changed while you waited'
request GET '/v1/nodes/shop?view=children'
open_stream poll '/v1/nodes/shop?view=children&wait=30s' -H "If-None-Match: $(header ETag)"
request PUT /v1/nodes/shop/newer -d ''
until_ended poll
expect_status 200
expect_body '"newer"'
request GET /v1/nodes/shop
ETAG=$(header ETag)
request GET '/v1/nodes/shop?wait=50ms' -H "If-None-Match: $ETAG"
expect_status 304

step 'a long poll for a node that does not exist yet uses the ETag "0"'
request GET /v1/nodes/shop/late
expect_problem 404 NO_NODE
expect_header ETag '"0"'
open_stream late '/v1/nodes/shop/late?wait=30s' -H 'If-None-Match: "0"'
request PUT /v1/nodes/shop/late -d 'here I am'
until_ended late
expect_status 200
expect_body_is 'here I am'

step 'a parent must exist, or parents=true creates the missing parents'
request PUT /v1/nodes/far/away/node -d '1'
expect_problem 404 NO_PARENT
request PUT '/v1/nodes/far/away/node?parents=true' -d '1'
expect_status 201
request GET '/v1/nodes/far/away?view=stat'
expect_body '"numChildren":1'

step 'POST creates a sequential node with ten digits that are never used twice'
request PUT /v1/nodes/queue
request POST /v1/nodes/queue/job- -d 'first'
expect_status 201
expect_header Location '/v1/nodes/queue/job-0000000000'
expect_body '"path":"/queue/job-0000000000","name":"job-0000000000"'
request POST /v1/nodes/queue/job- -d 'second'
expect_body '"name":"job-0000000001"'
request DELETE /v1/nodes/queue/job-0000000001
request POST /v1/nodes/queue/ -d 'any prefix, even none'
expect_body '"path":"/queue/0000000002"'

step 'the numbers restart with a new parent'
request PUT '/v1/nodes/line?parents=true'
request POST /v1/nodes/line/n-
request DELETE '/v1/nodes/line?recursive=true'
request PUT /v1/nodes/line
request POST '/v1/nodes/line/n-?mode=container'
expect_status 201
expect_body '"name":"n-0000000000"'

step 'setting the same bytes again is a change, too'
request PUT /v1/nodes/line -d 'same'
ETAG=$(header ETag)
request PUT /v1/nodes/line -d 'same'
expect_body '"version":2'
[ "$(header ETag)" != "$ETAG" ] || fail 'the ETag is still the same'

step 'an Idempotency-Key makes a POST safe to repeat'
request POST /v1/nodes/queue/job- -H 'Idempotency-Key: order-17' -d 'order 17'
expect_status 201
expect_no_header Idempotency-Replayed
FIRST=$(field name)
request POST /v1/nodes/queue/job- -H 'Idempotency-Key: order-17' -d 'order 17'
expect_status 201
expect_header Idempotency-Replayed 'true'
expect_body "\"name\":\"$FIRST\""
request POST /v1/nodes/queue/job- -H 'Idempotency-Key: order-17' -d 'order 18'
expect_problem 422 IDEMPOTENCY_KEY_REUSED

step 'an ephemeral node needs a session, and is deleted with it'
request PUT '/v1/nodes/shop/keeper?mode=ephemeral' -d 'me'
expect_problem 400 BAD_REQUEST 'session'
request POST /v1/sessions -H 'Content-Type: application/json' -d '{"ttl":"30s"}'
SESSION=$(field session)
OWNER=$(field id)
request PUT "/v1/nodes/shop/keeper?mode=ephemeral&session=$SESSION" -d 'me'
expect_status 201
expect_body "\"ephemeralOwner\":\"$OWNER\""
expect_body '"mode":"ephemeral"'
request PUT /v1/nodes/shop/keeper/child -d 'x'
expect_problem 409 NO_CHILDREN_FOR_EPHEMERALS
request POST '/v1/nodes/shop/lock-?mode=ephemeral' -H "Weir-Session: $SESSION"
expect_status 201
request DELETE "/v1/sessions/$SESSION"
expect_status 204
request GET /v1/nodes/shop/keeper
expect_problem 404 NO_NODE

step 'only a TTL node accepts a ttl'
request PUT '/v1/nodes/shop/offer?ttl=1h' -d '-10 %'
expect_status 201
expect_body '"ephemeralOwner":null'
expect_body '"mode":"ttl","ttlMs":3600000'
request PUT '/v1/nodes/shop/offer2?mode=ttl&ttl=1h'
expect_status 201
request PUT '/v1/nodes/shop/offer3?mode=ttl'
expect_problem 400 BAD_REQUEST 'ttl'
request PUT '/v1/nodes/shop/offer4?mode=container&ttl=1h'
expect_problem 400 BAD_REQUEST 'ttl'

step 'a container is made for children that come and go'
request PUT '/v1/nodes/shop/carts?mode=container'
expect_status 201
request PUT /v1/nodes/shop/carts/1 -d '3 apples'
expect_status 201

step 'DELETE deletes a node, on request only at a given version'
request DELETE '/v1/nodes/shop/new?version=7'
expect_problem 412 BAD_VERSION
request GET /v1/nodes/shop/new
ETAG=$(header ETag)
request DELETE /v1/nodes/shop/new -H "If-Match: $ETAG"
expect_status 204
expect_header Weir-Zxid '[0-9]+'
request DELETE /v1/nodes/shop/new
expect_problem 404 NO_NODE

step 'a node with children is only deleted with recursive=true'
request DELETE /v1/nodes/shop
expect_problem 409 NOT_EMPTY
expect_body '"numChildren":'
request DELETE '/v1/nodes/shop?recursive=true'
expect_status 204
request GET /v1/nodes/shop/empty/deep
expect_problem 404 NO_NODE

step 'names may have spaces and letters of any alphabet, encoded as in every URL'
request PUT /v1/nodes/caf%C3%A9%20n%C2%BA1 -d 'ouvert'
expect_status 201
expect_header Location '/v1/nodes/caf%C3%A9%20n%C2%BA1'
expect_body '"path":"/café nº1"'

step 'reserved paths are read only'
request PUT /v1/nodes/brokers/ids/9 -d 'x'
expect_problem 403 RESERVED_PATH
request DELETE '/v1/nodes/consumers?recursive=true'
expect_problem 403 RESERVED_PATH
request GET /v1/nodes/cluster/id
expect_status 200
