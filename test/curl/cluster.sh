#!/usr/bin/env bash
# The cluster: its brokers, its controller, and the state of its store.
. "$(dirname "$0")/lib.sh"

step 'the cluster has an id, brokers, a controller and a store'
request GET /v1/cluster
expect_status 200
expect_body_like '"clusterId":"[A-Za-z0-9_-]{22}"'
expect_body_like '"brokers":\[\{"id":[0-9]+,"host":"[^"]+","port":[0-9]+,"endpoints":\["http://[^"]+"\]'
expect_body_like '"store":\{"version":"[0-9.]+","engine":"standalone","shards":1,"unreachable":\[\],"usedMemoryBytes":[0-9]+,"maxMemoryBytes":[0-9]+,"appendOnly":(true|false)\}'
BROKER=$(field id)

step 'soon after the start a broker is the controller'
DEADLINE=$((SECONDS + 20))
until grep -q "\"controller\":{\"brokerId\":$BROKER,\"epoch\":" "$WORK/body"; do
  [ $SECONDS -lt $DEADLINE ] || fail 'there is no controller yet'
  request GET /v1/cluster
done

step 'all live brokers, with what they do'
request GET /v1/brokers
expect_status 200
expect_body_like "^\{\"brokers\":\[\{\"id\":$BROKER,\"version\":"
expect_body "\"url\":\"$URL\",\"rack\":null,\"worker\":null,"
expect_body_like '"isController":true,"partitionsLed":[0-9]+,"connections":[0-9]+'
request GET '/v1/brokers?limit=1'
expect_problem 400 BAD_REQUEST 'limit'

step 'one broker by its id'
request GET "/v1/brokers/$BROKER"
expect_status 200
expect_body "{\"id\":$BROKER,"
expect_body "\"endpoints\":[\"$URL\"]"
expect_body_like '"epoch":[0-9]+'
request GET /v1/brokers/999999
expect_problem 404 NO_NODE
request GET /v1/brokers/one
expect_problem 400 BAD_REQUEST 'id'

step 'the tree has the same state, in the nodes of Kafka'
request GET "/v1/nodes/brokers/ids/$BROKER"
expect_status 200
expect_header Content-Type 'application/json.*'
expect_body '"version":5'
request GET /v1/nodes/controller
expect_body "\"brokerid\":$BROKER"
request GET /v1/nodes/controller_epoch
expect_body_like '^[0-9]+$'

step 'a partition has a leader, which can be read and changed'
JSON='Content-Type: application/json'
request POST /v1/topics -H "$JSON" -d '{"name":"housed"}'
expect_status 201
request GET /v1/topics/housed/partitions/0
expect_status 200
expect_body "\"partition\":0,\"leader\":$BROKER,\"leaderEpoch\":0,\"replicas\":[$BROKER],\"isr\":[$BROKER]"
request PATCH /v1/topics/housed/partitions/0 -H "$JSON" -d "{\"replicas\":[$BROKER]}"
expect_status 200
request PATCH /v1/topics/housed/partitions/0 -H "$JSON" -d '{"replicas":[999999]}'
expect_problem 422 INVALID_REPLICA_ASSIGNMENT '999999'
request PATCH /v1/topics/housed/partitions/0 -H "$JSON" -d "{\"replicas\":[$BROKER,$BROKER]}"
expect_problem 400 BAD_REQUEST 'each broker once'

step 'the preferred leader is elected on request'
request POST /v1/elections -H "$JSON" -d '{"topic":"housed"}'
expect_status 200
expect_body "\"topic\":\"housed\",\"partitions\":[{\"partition\":0,\"leader\":$BROKER,\"leaderEpoch\":0,\"outcome\":\"notNeeded\"}]"
request POST /v1/elections -H "$JSON" -d '{"topic":"housed","partition":7}'
expect_problem 404 UNKNOWN_PARTITION
