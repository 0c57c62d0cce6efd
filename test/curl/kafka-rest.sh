#!/usr/bin/env bash
# The Kafka REST dialect: version 2 at /topics and /consumers, version 3 at /v3.
. "$(dirname "$0")/lib.sh"
JSON='Content-Type: application/json'
RECORDS='Content-Type: application/vnd.kafka.json.v2+json'
KAFKA='Content-Type: application/vnd.kafka.v2+json'

step 'version 3 tells the id of the cluster'
request GET /v3/clusters
expect_status 200
expect_body '"kind":"KafkaClusterList"'
CLUSTER=$(sed 's/.*"cluster_id":"\([^"]*\)".*/\1/' "$WORK/body")
V3=/v3/clusters/$CLUSTER

step 'version 3 creates a topic, and describes it'
request POST "$V3/topics" -H "$JSON" -d '{"topic_name":"orders","partitions_count":2}'
expect_status 201
expect_body '"partitions_count":2'
request POST "$V3/topics" -H "$JSON" -d '{"topic_name":"orders"}'
expect_status 400
expect_body "{\"error_code\":40002,\"message\":\"Topic 'orders' already exists.\"}"
request GET "$V3/topics/orders/configs/retention.ms"
expect_body '"source":"DEFAULT_CONFIG"'

step 'records of version 3 follow each other, each with a report'
request POST "$V3/topics/orders/records" -H "$JSON" \
  -d '{"partition_id":0,"value":{"type":"JSON","data":{"id":1}}} {"value":{"type":"AVRO","data":1}}'
expect_status 200
expect_body '"partition_id":0,"offset":0'
expect_body '{"error_code":422,'
request POST "$V3/topics/orders/records:batch" -H "$JSON" \
  -d '{"entries":[{"id":"a","partition_id":0,"value":{"type":"STRING","data":"two"}}]}'
expect_status 207
expect_body '"successes":[{"id":"a"'

step 'version 2 appends, too, and a consumer instance reads all of them'
request POST /topics/orders -H "$RECORDS" -d '{"records":[{"value":3,"partition":0}]}'
expect_status 200
expect_body '{"offsets":[{"partition":0,"offset":2,"error_code":null,"error":null}]'
request POST /consumers/billing -H "$KAFKA" -d '{"name":"one","format":"json","auto.offset.reset":"earliest"}'
expect_status 200
request POST /consumers/billing/instances/one/subscription -H "$KAFKA" -d '{"topics":["orders"]}'
expect_status 204
request GET '/consumers/billing/instances/one/records?timeout=5000' -H 'Accept: application/vnd.kafka.json.v2+json'
expect_status 200
expect_body '"value":{"id":1}'
expect_body '"value":"two"'
expect_body '"value":3'
request POST /consumers/billing/instances/one/offsets
expect_status 200

step 'version 3 tells the lag of the group'
request GET "$V3/consumer-groups/billing/lag-summary"
expect_status 200
expect_body '"total_lag":0'

step 'errors are those of the dialect'
request GET "$V3/topics/none"
expect_status 404
expect_body '"error_code":40403'
request GET /v3/clusters/other/topics
expect_status 404
request DELETE "$V3/topics/orders"
expect_status 204
