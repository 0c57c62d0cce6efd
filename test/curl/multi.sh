#!/usr/bin/env bash
# Multi: several operations on the tree as one transaction, at /v1/multi.
. "$(dirname "$0")/lib.sh"

multi() {
  request POST /v1/multi -H 'Content-Type: application/json' -d "$@"
}

step 'all operations are one transaction: one zxid, later ones see earlier ones'
multi '{"ops":[
  {"op":"create","path":"/bank","data":"open"},
  {"op":"create","path":"/bank/alice","data":"100"},
  {"op":"create","path":"/bank/bob","dataBase64":"NTA="},
  {"op":"set","path":"/bank/alice","data":"90","version":0},
  {"op":"check","path":"/bank/bob","version":0}
]}'
expect_status 200
ZXID=$(field zxid)
expect_header Weir-Zxid "$ZXID"
expect_body '"results":[{"op":"create","path":"/bank","stat":{'
expect_body '{"op":"set","path":"/bank/alice","stat":{'
request GET '/v1/nodes/bank/bob?view=node'
expect_body '"data":"50"'
expect_body "\"czxid\":$ZXID"
request GET '/v1/nodes/bank/alice?view=stat'
expect_body "\"czxid\":$ZXID,\"mzxid\":$ZXID"
MZXID=$(field mzxid)

step 'if one operation fails, nothing is done, and the response has the result of each'
multi '{"ops":[
  {"op":"set","path":"/bank/alice","data":"0"},
  {"op":"check","path":"/bank/bob","version":7},
  {"op":"delete","path":"/bank/bob"}
]}'
expect_problem 412 BAD_VERSION '/bank/bob'
expect_body '"failed":1'
expect_body '"results":["OK","BAD_VERSION","ROLLED_BACK"]'
request GET /v1/nodes/bank/alice
expect_body_is '90'

step 'a check may compare the mzxid or the czxid, or whether a node exists'
multi "{\"ops\":[
  {\"op\":\"check\",\"path\":\"/bank/alice\",\"mzxid\":$MZXID},
  {\"op\":\"check\",\"path\":\"/bank/alice\",\"czxid\":$ZXID},
  {\"op\":\"check\",\"path\":\"/bank/carol\",\"exists\":false},
  {\"op\":\"check\",\"path\":\"/bank\",\"exists\":true}
]}"
expect_status 200
expect_body "\"zxid\":"
multi '{"ops":[{"op":"check","path":"/bank/alice","exists":false}]}'
expect_problem 409 NODE_EXISTS
multi '{"ops":[{"op":"check","path":"/bank/alice","czxid":1}]}'
expect_problem 412 BAD_VERSION

step 'a failed transaction uses no sequence number'
multi '{"ops":[{"op":"create","path":"/bank/tx-","sequential":true},{"op":"create","path":"/nowhere/x"}]}'
expect_problem 404 NO_PARENT
multi '{"ops":[{"op":"create","path":"/bank/tx-","sequential":true},{"op":"create","path":"/bank/tx-","sequential":true}]}'
expect_status 200
expect_body '"path":"/bank/tx-0000000002"'
expect_body '"path":"/bank/tx-0000000003"'

step 'ephemeral nodes belong to the session of the operation, or of the request'
request POST /v1/sessions
SESSION=$(field session)
OWNER=$(field id)
multi "{\"ops\":[{\"op\":\"create\",\"path\":\"/bank/teller\",\"mode\":\"ephemeral\",\"session\":\"$SESSION\"}]}"
expect_status 200
expect_body "\"ephemeralOwner\":\"$OWNER\""
multi '{"ops":[{"op":"create","path":"/bank/guard","mode":"ephemeral"}]}' -H "Weir-Session: $SESSION"
expect_status 200
expect_body "\"ephemeralOwner\":\"$OWNER\""
multi '{"ops":[{"op":"create","path":"/bank/x"},{"op":"create","path":"/bank/y","mode":"ephemeral"}]}'
expect_problem 400 BAD_REQUEST 'session'
expect_body '"failed":1'

step 'create and delete of one node in one transaction leaves nothing'
multi '{"ops":[{"op":"create","path":"/bank/brief"},{"op":"delete","path":"/bank/brief"}]}'
expect_status 200
request GET /v1/nodes/bank/brief
expect_problem 404 NO_NODE

step 'a multi without operations succeeds and changes nothing'
request GET '/v1/nodes/bank?view=stat'
multi '{"ops":[]}'
expect_status 200
expect_body '"results":[]'

step 'an Idempotency-Key makes a transaction safe to repeat'
multi '{"ops":[{"op":"create","path":"/bank/once-","sequential":true}]}' -H 'Idempotency-Key: transfer-1'
expect_status 200
FIRST=$(field path)
multi '{"ops":[{"op":"create","path":"/bank/once-","sequential":true}]}' -H 'Idempotency-Key: transfer-1'
expect_header Idempotency-Replayed 'true'
expect_body "\"path\":\"$FIRST\""

step 'invalid requests are refused with the position of the fault'
multi '{"ops":[{"op":"create","path":"/bank/z","data":"a","dataBase64":"YQ=="}]}'
expect_problem 400 BAD_REQUEST 'ops.0'
multi '{"ops":[{"op":"rename","path":"/bank"}]}'
expect_problem 400 BAD_REQUEST 'ops.0'
multi '{"ops":[{"op":"set","path":"/bank","verison":3}]}'
expect_problem 400 BAD_REQUEST "'verison'"
multi '{"ops":[{"op":"set","path":"/config","data":"x"}]}'
expect_problem 403 RESERVED_PATH
multi '{"ops":[{"op":"create","path":"bank"}]}'
expect_problem 400 INVALID_PATH
