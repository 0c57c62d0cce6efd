#!/usr/bin/env bash
# Topics: logs in partitions, at /v1/topics.
. "$(dirname "$0")/lib.sh"
JSON='Content-Type: application/json'

step 'POST creates a topic'
request POST /v1/topics -H "$JSON" -d '{"name":"orders","partitions":3,"config":{"retention.ms":3600000}}'
expect_status 201
expect_header Location '/v1/topics/orders'
expect_body '"name":"orders"'
expect_body '"retention.ms":3600000'
expect_body '"max.message.bytes":1048576'
expect_body_like '"partitions":\[\{"partition":0,"leader":-?[0-9]+,"leaderEpoch":[0-9]+,"replicas":\[[0-9]+\],"isr":\[[0-9]*\],"logStartOffset":0,"endOffset":0,"bytes":0\}'

step 'a name can be used once, and GET describes the topic'
request POST /v1/topics -H "$JSON" -d '{"name":"orders"}'
expect_problem 409 TOPIC_EXISTS 'orders'
request GET /v1/topics/orders
expect_status 200
TOPIC_ID=$(field topicId)
[ -n "$TOPIC_ID" ] || fail 'it has no id'

step 'soon every partition has a leader'
DEADLINE=$((SECONDS + 20))
while grep -q '"leader":-1' "$WORK/body"; do
  [ $SECONDS -lt $DEADLINE ] || fail 'a partition has no leader'
  request GET /v1/topics/orders
done

step 'GET lists the topics by name, in pages'
request POST /v1/topics -H "$JSON" -d '{"name":"audit"}'
expect_status 201
request GET /v1/topics
expect_status 200
expect_body_like '"topics":\[\{"name":"audit","topicId":"[^"]+","partitions":1\},\{"name":"orders","topicId":"[^"]+","partitions":3\}'
request GET '/v1/topics?view=summary'
expect_status 200
expect_body_like '"name":"orders","topicId":"[^"]+","partitions":[0-9]+,"records":[0-9]+,"bytes":[0-9]+,"inPerSec":[0-9.]+,"outPerSec":[0-9.]+,"leaders":\[[^]]*\],"notPreferred":0,"groups":\[\]'
request GET '/v1/topics?view=all'
expect_problem 400 BAD_REQUEST 'view'
request GET '/v1/topics?limit=1'
expect_body '"next":"audit"'
request GET '/v1/topics?after=audit&limit=1'
expect_body '"name":"orders"'

step 'PATCH adds partitions and changes settings; null restores the default'
request PATCH /v1/topics/orders -H "$JSON" -d '{"partitions":4,"config":{"retention.ms":null,"cleanup.policy":"compact"}}'
expect_status 200
expect_body '"partition":3'
expect_body '"retention.ms":604800000'
expect_body '"cleanup.policy":"compact"'
request PATCH /v1/topics/orders -H "$JSON" -d '{"partitions":2}'
expect_problem 422 INVALID_PARTITIONS

step 'the tree has the same state, in the nodes of Kafka'
request GET /v1/nodes/brokers/topics/orders
expect_status 200
expect_body "\"topic_id\":\"$TOPIC_ID\""
request GET /v1/nodes/config/topics/orders
expect_body '"cleanup.policy":"compact"'
request GET /v1/nodes/brokers/topics/orders/partitions/0/state
expect_body '"leader_epoch":'

step 'an Idempotency-Key makes the creation safe to repeat'
request POST /v1/topics -H "$JSON" -H 'Idempotency-Key: topic-1' -d '{"name":"once"}'
expect_status 201
request POST /v1/topics -H "$JSON" -H 'Idempotency-Key: topic-1' -d '{"name":"once"}'
expect_status 201
expect_header Idempotency-Replayed 'true'

step 'invalid requests are refused with the valid values'
request POST /v1/topics -H "$JSON" -d '{"name":"a b"}'
expect_problem 400 BAD_REQUEST "'a b'"
request POST /v1/topics -H "$JSON" -d '{"name":"x","partitions":0}'
expect_problem 422 INVALID_PARTITIONS
request POST /v1/topics -H "$JSON" -d '{"name":"x","replicationFactor":99}'
expect_problem 422 INVALID_REPLICATION_FACTOR
request POST /v1/topics -H "$JSON" -d '{"name":"x","config":{"retention.msec":1}}'
expect_problem 422 INVALID_CONFIG "'retention.msec'"
request POST /v1/topics -H "$JSON" -d '{"name":"x","config":{"retention.ms":"a week"}}'
expect_problem 422 INVALID_CONFIG 'retention.ms'
request POST /v1/topics -H "$JSON" -d '{"name":"x","partition":1}'
expect_problem 400 BAD_REQUEST "'partition'"
request GET /v1/topics/none
expect_problem 404 UNKNOWN_TOPIC 'none'

step 'DELETE deletes a topic with its records'
request DELETE /v1/topics/orders
expect_status 204
until_status 404 GET /v1/topics/orders
request GET /v1/nodes/brokers/topics/orders
until_status 404 GET /v1/nodes/brokers/topics/orders
request DELETE /v1/topics/orders
expect_problem 404 UNKNOWN_TOPIC

step 'a topic of the same name is another topic'
request POST /v1/topics -H "$JSON" -d '{"name":"orders"}'
expect_status 201
[ "$(field topicId)" != "$TOPIC_ID" ] || fail 'it has the id of the old one'
expect_body '"retention.ms":604800000'
request DELETE /v1/topics/orders
