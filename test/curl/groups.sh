#!/usr/bin/env bash
# Groups: consumers that share the partitions of topics, at /v1/groups/<group>.
. "$(dirname "$0")/lib.sh"
JSON='Content-Type: application/json'
GROUP=/v1/groups/stats

request POST /v1/topics -H "$JSON" -d '{"name":"clicks","partitions":2}'
expect_status 201
request POST /v1/topics/clicks/records -H "$JSON" \
  -d '{"records":[{"value":"a","partition":0},{"value":"b","partition":0},{"value":"c","partition":1}]}'
expect_status 200

step 'the first member gets all partitions'
request POST $GROUP/members -H "$JSON" -d '{"memberId":"m1","topics":["clicks"],"reset":"earliest"}'
expect_status 201
M1=$(field memberSecret)
expect_header Location "$GROUP/members/m1"
expect_body '"memberId":"m1"'
expect_body '"assignment":[{"topic":"clicks","partitions":[0,1]}]'
expect_body '"sessionTimeoutMs":45000'
EPOCH=$(field memberEpoch)

step 'joining again with the same id and its secret continues the same member'
request POST $GROUP/members -H "$JSON" -H "Weir-Member: $M1" -d '{"memberId":"m1","topics":["clicks"],"reset":"earliest"}'
expect_status 201
M1=$(field memberSecret)
EPOCH=$(field memberEpoch)
request GET $GROUP
expect_body_like '"members":\[\{"memberId":"m1",[^]]*'

step 'GET .../records reads all partitions of the member, and is its heartbeat'
request GET "$GROUP/members/m1/records?wait=10s" -H "Weir-Member: $M1"
expect_status 200
expect_body '"assignment":[{"topic":"clicks","partitions":[0,1]}]'
expect_body '{"topic":"clicks","partition":0,"offset":0,"timestamp":'
expect_body '"value":"b"'

step 'the next call continues there; commit=previous commits the records of the previous response'
request GET "$GROUP/members/m1/records?commit=previous" -H "Weir-Member: $M1"
expect_status 200
DEADLINE=$((SECONDS + 20))
until request GET $GROUP/offsets && grep -Fq '"topic":"clicks","partition":0,"offset":2' "$WORK/body" &&
  grep -Fq '"topic":"clicks","partition":1,"offset":1' "$WORK/body"; do
  [ $SECONDS -lt $DEADLINE ] || fail 'not all is committed'
  request GET "$GROUP/members/m1/records?commit=previous" -H "Weir-Member: $M1"
done

step 'a call with after is safe to repeat'
AGAIN=/v1/groups/again
request POST $AGAIN/members -H "$JSON" -d '{"memberId":"m1","topics":["clicks"],"reset":"earliest"}'
expect_status 201
AGAIN_M1=$(field memberSecret)
request GET "$AGAIN/members/m1/records?commit=previous&after=0" -H "Weir-Member: $AGAIN_M1"
expect_body '"value":"b"'
GIVEN=$(cat "$WORK/body")
NEXT=$(field next)
request GET "$AGAIN/members/m1/records?commit=previous&after=0" -H "Weir-Member: $AGAIN_M1"
expect_body_is "$GIVEN"
request GET "$AGAIN/members/m1/records?commit=previous&after=$NEXT" -H "Weir-Member: $AGAIN_M1"
expect_body "\"next\":$NEXT"
expect_body '"records":[]'
request GET "$AGAIN/members/m1/records?commit=previous&after=$((NEXT + 1000))" -H "Weir-Member: $AGAIN_M1"
expect_problem 409 STALE_POSITION
request GET "$AGAIN/offsets"
expect_body '"topic":"clicks","partition":0,"offset":2'

step 'a consume call may be a POST that names the offsets to commit'
request POST "$AGAIN/members/m1/records?after=$NEXT" -H "Weir-Member: $AGAIN_M1"
expect_status 200
expect_body '"records":[]'
expect_body '"partitions":['

step 'calls of a member send its secret; a join with its id, but without the secret, supersedes it'
request GET "$AGAIN/members/m1/records"
expect_problem 403 FORBIDDEN 'Weir-Member'
request POST $AGAIN/members -H "$JSON" -d '{"memberId":"m1","topics":["clicks"],"reset":"earliest"}'
expect_status 201
request GET "$AGAIN/members/m1/records" -H "Weir-Member: $AGAIN_M1"
expect_problem 409 MEMBER_SUPERSEDED

step 'the group shows the partitions of each member, and the lag'
request POST /v1/topics/clicks/records -H "$JSON" -d '{"records":[{"value":"d","partition":0}]}'
request GET $GROUP
expect_status 200
expect_body '"groupId":"stats","state":"stable"'
expect_body '{"topic":"clicks","partition":0,"owner":"m1","committed":2,"endOffset":3,"lag":1,"lagFrom":"committed"}'
request GET '/v1/groups?view=summary'
expect_status 200
expect_body_like '"members":[0-9]+,"topics":\["[^]]+"\],"lag":([0-9]+|null),"maxLag":([0-9]+|null)'
request GET /v1/groups
expect_body '{"groupId":"stats","state":"stable","members":1}'

step 'a second member waits for the partitions that the first one must release'
request POST $GROUP/members -H "$JSON" -d '{"memberId":"m2","topics":["clicks"],"reset":"earliest"}'
expect_status 201
M2=$(field memberSecret)
expect_body '"assignment":[]'
SECOND=$(field memberEpoch)
request POST $GROUP/members/m1/heartbeat -H "Weir-Member: $M1" -H "$JSON" \
  -d "{\"memberEpoch\":$EPOCH,\"owned\":[{\"topic\":\"clicks\",\"partitions\":[0,1]}]}"
expect_status 200
expect_body_like '"assignment":\[\{"topic":"clicks","partitions":\[[01]\]\}\]'
KEPT=$(grep -oE '"partitions":\[[01]\]' "$WORK/body" | grep -oE '[01]')
EPOCH=$(field memberEpoch)

step 'a heartbeat without the partition in owned releases it to the second member'
request POST $GROUP/members/m1/heartbeat -H "Weir-Member: $M1" -H "$JSON" \
  -d "{\"memberEpoch\":$EPOCH,\"owned\":[{\"topic\":\"clicks\",\"partitions\":[$KEPT]}]}"
expect_status 200
EPOCH=$(field memberEpoch)
DEADLINE=$((SECONDS + 20))
until request POST $GROUP/members/m2/heartbeat -H "Weir-Member: $M2" -H "$JSON" -d "{\"memberEpoch\":$SECOND,\"owned\":[]}" &&
  grep -Fq "\"partitions\":[$((1 - KEPT))]" "$WORK/body"; do
  [ $SECONDS -lt $DEADLINE ] || fail 'the second member did not get the partition'
  SECOND=$(field memberEpoch)
done
SECOND=$(field memberEpoch)

step 'the tree has the members, owners and committed offsets'
request GET /v1/nodes/consumers/stats/ids/m1
expect_status 200
request GET '/v1/nodes/consumers/stats/owners/clicks?view=children'
expect_body '"children":["0","1"]'
request GET /v1/nodes/consumers/stats/offsets/clicks/0
expect_body_is '2'

step 'a member commits for its own partitions, with its epoch'
request POST $GROUP/offsets -H "$JSON" -H "Weir-Member: $M1" \
  -d "{\"memberId\":\"m1\",\"memberEpoch\":$EPOCH,\"offsets\":[{\"topic\":\"clicks\",\"partition\":$KEPT,\"offset\":1,\"metadata\":\"by hand\"}]}"
expect_status 200
request GET "$GROUP/offsets?topic=clicks&partition=$KEPT"
expect_body '"offset":1,"metadata":"by hand"'
request POST $GROUP/offsets -H "$JSON" -H "Weir-Member: $M1" \
  -d "{\"memberId\":\"m1\",\"memberEpoch\":999,\"offsets\":[{\"topic\":\"clicks\",\"partition\":$KEPT,\"offset\":1}]}"
expect_problem 409 FENCED_MEMBER_EPOCH
request POST $GROUP/offsets -H "$JSON" -d '{"offsets":[{"topic":"clicks","partition":0,"offset":0}]}'
expect_problem 409 GROUP_NOT_EMPTY

step 'a member that leaves releases its partitions to the others at once'
request DELETE $GROUP/members/m1 -H "Weir-Member: $M1"
expect_status 204
request POST $GROUP/members/m1/heartbeat -H "Weir-Member: $M1" -H "$JSON" -d "{\"memberEpoch\":$EPOCH}"
expect_problem 404 UNKNOWN_MEMBER
DEADLINE=$((SECONDS + 20))
until request GET "$GROUP/members/m2/records" -H "Weir-Member: $M2" && grep -Fq '"partitions":[0,1]' "$WORK/body"; do
  [ $SECONDS -lt $DEADLINE ] || fail 'the other member did not get the partitions'
done

step 'the partitions of a member whose session expires go to the others'
request POST /v1/groups/brief/members -H "$JSON" -d '{"memberId":"gone","topics":["clicks"],"sessionTimeout":"1s"}'
expect_status 201
request POST /v1/groups/brief/members -H "$JSON" -d '{"memberId":"here","topics":["clicks"]}'
expect_status 201
HERE=$(field memberSecret)
DEADLINE=$((SECONDS + 20))
until request GET /v1/groups/brief/members/here/records -H "Weir-Member: $HERE" && grep -Fq '"partitions":[0,1]' "$WORK/body"; do
  [ $SECONDS -lt $DEADLINE ] || fail 'the partitions of the expired member were not reassigned'
done
request DELETE /v1/groups/brief/members/here -H "Weir-Member: $HERE"

step 'a static member may leave for a while: its partitions are kept for its instance id'
request POST /v1/groups/fixed/members -H "$JSON" -d '{"memberId":"s1","instanceId":"one","topics":["clicks"]}'
expect_status 201
S1=$(field memberSecret)
request DELETE '/v1/groups/fixed/members/s1?temporary=true' -H "Weir-Member: $S1"
expect_status 204
request GET /v1/groups/fixed
expect_body '"away":true'
request POST /v1/groups/fixed/members -H "$JSON" -d '{"memberId":"s2","instanceId":"one","topics":["clicks"]}'
expect_status 201
S2=$(field memberSecret)
expect_body '"partitions":[0,1]'
request DELETE '/v1/groups/fixed/members/s2?temporarily=true' -H "Weir-Member: $S2"
expect_problem 400 BAD_REQUEST "temporarily"
request DELETE /v1/groups/fixed/members/s2 -H "Weir-Member: $S2"
expect_status 204

step 'the offsets of an empty group may be reset, after a dry run'
request DELETE $GROUP/members/m2 -H "Weir-Member: $M2"
expect_status 204
request POST $GROUP/offsets/reset -H "$JSON" -d '{"to":"earliest","dryRun":true}'
expect_status 200
expect_body '"dryRun":true'
expect_body '"offset":0,"previous":'
request POST $GROUP/offsets/reset -H "$JSON" -d '{"to":{"shiftBy":-1}}'
expect_status 200
request POST $GROUP/offsets/reset -H "$JSON" -d '{"to":"latest","topics":["clicks"]}'
expect_status 200
request GET $GROUP
expect_body '"state":"empty"'
expect_body '{"topic":"clicks","partition":0,"owner":null,"committed":3,"endOffset":3,"lag":0,"lagFrom":"committed"}'

step 'offsets and a group may be deleted'
request DELETE "$GROUP/offsets?topic=clicks&partition=0"
expect_status 204
request GET "$GROUP/offsets?topic=clicks&partition=0"
expect_problem 404 NO_COMMITTED_OFFSET
request DELETE $GROUP
expect_status 204
request GET $GROUP
expect_problem 404 UNKNOWN_GROUP 'stats'

step 'upgraded to a WebSocket, /v1/groups/<group>/stream?topics=… is a member by itself; without an upgrade it is refused'
request GET "$GROUP/stream?topics=clicks"
expect_problem 400 BAD_REQUEST 'WebSocket'

step 'invalid requests are refused'
request POST $GROUP/members -H "$JSON" -d '{"memberId":"x"}'
expect_problem 400 BAD_REQUEST 'topics'
request POST $GROUP/members -H "$JSON" -d '{"topics":["clicks"],"assignor":"fair"}'
expect_problem 422 UNSUPPORTED_ASSIGNOR 'fair'
request POST $GROUP/members -H "$JSON" -d '{"topics":["clicks"],"sessionTimout":"10s"}'
expect_problem 400 BAD_REQUEST "'sessionTimout'"
request GET "$GROUP/members/nobody/records"
expect_problem 404 UNKNOWN_GROUP
request POST $GROUP/offsets/reset -H "$JSON" -d '{"to":"yesterday"}'
expect_problem 400 BAD_REQUEST 'body.to'
