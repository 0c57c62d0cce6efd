#!/usr/bin/env bash
# Operation: health, metrics, and the service's description of itself.
. "$(dirname "$0")/lib.sh"

step 'the process is alive, and it is ready to serve'
request GET /health/live
expect_status 200
expect_body_is $'{"status":"ok"}\n'

step 'the address alone leads a browser to pages it can read, and a program to the API'
request GET /
expect_status 200
expect_body '"api":"/v1"'
request GET / -H 'Accept: text/html'
expect_status 303
expect_header Location '/(docs|console/)'
request GET /v1
expect_body '"path":"/v1/topics/{topic}"'

step '?pretty indents any JSON'
request GET '/health/live?pretty'
expect_body_is $'{\n  "status": "ok"\n}\n'

request GET /health/ready
expect_status 200
head_request /health/ready
expect_status 200

step 'metrics are in the text format of Prometheus, by route and never by URL'
request PUT /v1/nodes/a-secret-name -d 'x'
request GET /metrics
expect_status 200
expect_header Content-Type 'text/plain.*'
expect_body '# TYPE weir_http_request_duration_seconds histogram'
expect_body_like '^weir_build_info[{]version="[^"]+",broker="[0-9]+"[}] 1'
expect_body 'route="/v1/nodes/*"'
expect_body 'weir_controller '
expect_body 'process_cpu_seconds_total'
expect_no_body_text 'a-secret-name'

step 'the API describes itself in OpenAPI 3.1'
request GET /openapi.json
expect_status 200
expect_header Content-Type 'application/json.*'
expect_body '"openapi":"3.1.0"'
expect_body '"/v1/nodes/{path}"'

step 'the description is readable at /docs'
request GET /docs --location
expect_status 200
expect_header Content-Type 'text/html.*'
request GET /docs/json
expect_body '"openapi":"3.1.0"'
request GET /docs/yaml
expect_status 200
expect_body 'openapi: 3.1.0'

step 'a response has the id of its request, which the client may choose'
request GET /health/live -H 'X-Request-Id: my-request-7'
expect_header X-Request-Id 'my-request-7'

step 'statistics come each second, as server-sent events'
open_stream stats /v1/stats/stream
until_streamed stats '"requestsPerSec":'
until_streamed stats '"p99Ms":'
