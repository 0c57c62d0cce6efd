# What the recipes of this folder share: a request that is repeated until there is a response, fields of JSON, a session
# that lives as long as the script, and a place in a queue. Needs bash 3.2 or newer and curl 7.55 or newer.
set -euo pipefail
export LC_ALL=C

# Of several brokers the first: a load balancer has one URL for all.
WEIR=${WEIR_URL:-http://localhost:7070}
WEIR=${WEIR%%,*}/v1
TTL_MS=${SESSION_TTL_MS:-10000}
# What to do when the server has not responded for the whole time to live of the session. `stop`: a holder cannot know any
# more that it holds anything. `wait`: a registration has nothing to stop, and the session may have survived.
OUTAGE=stop
# The status of a script that had to stop because its session was lost.
SESSION_LOST=75

FILES=$(mktemp -d)
CURL='' WORKER='' HEARTBEAT='' STATUS='' SENT_AT=0

# usage <least number of arguments> <arguments…>: what the script takes is the first comment of its file.
usage() {
  [ $# -gt "$1" ] || fail "usage: $(sed -n '2s/^# //p' "$0")"
}

fail() {
  echo "$(basename "$0"): $1" >&2
  exit 1
}

# number <what it is> <value>: a whole number, or the script ends; the shell would take other text for an expression.
number() {
  case ${2#-} in '' | *[!0-9]*) fail "$1 is '$2'; it must be a whole number" ;; esac
}

# now_ms: a clock for measuring; whole seconds before bash 5.
now_ms() {
  local now=${EPOCHREALTIME:-$SECONDS.000000}
  now=${now/[.,]/}
  echo $((10#$now / 1000))
}

seconds() {
  printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}

# What every request needs is in a file, as arguments of a command can be read by all users of a machine: the token, which may
# be @FILE as for `weir`, and the authorities of the server.
TOKEN=${WEIR_TOKEN:-}
case $TOKEN in @*) TOKEN=$(head -n 1 "${TOKEN#@}") ;; esac
{
  [ -z "$TOKEN" ] || echo "header = \"Authorization: Bearer $TOKEN\""
  [ -z "${WEIR_CACERT:-}" ] || echo "cacert = \"$WEIR_CACERT\""
} >"$FILES/curl"

# unique: a name that nobody else uses.
unique() {
  od -An -N12 -tx1 /dev/urandom | tr -d ' \n'
}

# request <method> <path and query> [curl options]: sends it, and again until there is a response. Sets STATUS; headers and
# body are files. So a request that changes something must be repeatable: by an Idempotency-Key, or by its meaning.
request() {
  local method=$1 target=$2 failures=0
  shift 2
  while :; do
    SENT_AT=$(now_ms)
    : >"$FILES/body"
    # In the background: a signal, such as that of a lost session, ends a `wait` at once, but not a command.
    curl --config "$FILES/curl" --silent --globoff --max-time 60 --request "$method" --dump-header "$FILES/headers" --output "$FILES/body" \
      --write-out '%{http_code}' "$@" "$WEIR$target" >"$FILES/status" &
    CURL=$!
    if wait "$CURL"; then
      STATUS=$(cat "$FILES/status")
      grep -q '"retryable":true' "$FILES/body" || return 0
    fi
    failures=$((failures + 1))
    [ $failures != 5 ] || echo "$(basename "$0"): $WEIR does not respond; trying again until it does" >&2
    sleep 0.2
  done
}

# expect <statuses>: the last response has one of them, or the script ends.
expect() {
  case " $* " in *" $STATUS "*) ;; *) fail "$STATUS $(cat "$FILES/body")" ;; esac
}

# field <name>: the first field of that name in the last response, a text or a number.
field() {
  grep -oE "\"$1\":(\"[^\"]*\"|[-0-9]+)" "$FILES/body" | head -n 1 | sed -E 's/^"[^"]*":"?//; s/"$//'
}

# header <name>
header() {
  tr -d '\r' <"$FILES/headers" | sed -n "s/^$1: *//Ip" | tail -n 1
}

# children: the names in the last response with view=children, one a line.
children() {
  sed -nE 's/.*"children":\[([^]]+)\].*/\1/p' "$FILES/body" | tr -d '"\n' | awk -v RS=, '{ print }'
}

# Sessions

# session_open: a session that is renewed until the script ends, however it ends. When it is lost, session_lost is called.
session_open() {
  request POST /sessions -H 'Content-Type: application/json' -H "Idempotency-Key: $(unique)" -d "{\"ttl\":$TTL_MS}"
  expect 201
  SESSION_ID=$(field id)
  TTL_MS=$(field ttlMs)
  # In files, as arguments of a command can be read by all users of a machine.
  echo "Weir-Session: $(field session)" >"$FILES/session"
  echo "url = \"$WEIR/sessions/$(field session)\"" >"$FILES/session-url"
  trap session_lost USR1
  heartbeat "$SENT_AT" >/dev/null 2>&1 &
  HEARTBEAT=$!
}

# heartbeat <when the session was last known to live, ms>
heartbeat() {
  local confirmed=$1 pause=$((TTL_MS / 3)) sent left code
  while sleep "$(seconds $pause)"; do
    # A script that is killed cannot end its heartbeat: the heartbeat looks for the script before each renewal.
    kill -0 $$ || return
    sent=$(now_ms)
    left=$((confirmed + TTL_MS - sent))
    # One more renewal and one more pause would end too late: a holder must have stopped by then.
    if [ $left -le $((TTL_MS / 5)) ]; then
      [ $OUTAGE = wait ] || break
      left=$TTL_MS
    fi
    code=$(curl --config "$FILES/curl" --silent --output /dev/null --write-out '%{http_code}' --max-time "$(seconds $((left / 2 + 1)))" \
      --request PUT --config "$FILES/session-url") || true
    pause=$((TTL_MS / 10))
    case $code in
      200) confirmed=$sent pause=$((TTL_MS / 3)) ;;
      410) break ;;
    esac
  done
  kill -USR1 $$
}

session_lost() {
  echo "$(basename "$0"): the session is lost, and with it all that was held" >&2
  exit $SESSION_LOST
}

# run <command…>: runs it; it is stopped when the session is lost or the script is.
run() {
  "$@" <&0 &
  WORKER=$!
  wait "$WORKER"
}

# The work stops first, then the session ends: in the other order another process would begin too early.
cleanup() {
  trap '' USR1
  if [ -n "$WORKER" ] && kill "$WORKER" 2>/dev/null; then wait "$WORKER" || true; fi
  for pid in $CURL $HEARTBEAT; do kill "$pid" 2>/dev/null || true; done
  if [ -f "$FILES/session-url" ]; then
    curl --config "$FILES/curl" --silent --max-time 2 --output /dev/null --request DELETE --config "$FILES/session-url" || true
  fi
  rm -rf "$FILES"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Places in a queue

# take_place <parent> <prefix> <data>: an ephemeral sequential node. Sets PLACE, its name, and FENCE_TOKEN, its czxid.
take_place() {
  request POST "/nodes$1/$2?mode=ephemeral&parents=true" -H "@$FILES/session" -H "Idempotency-Key: $(unique)" -d "$3"
  expect 201
  PLACE=$(field name)
  FENCE_TOKEN=$(field czxid)
  export FENCE_TOKEN
}

# wait_for_turn <parent> [<prefix>]: until no node is before ours, or none with that prefix.
wait_for_turn() {
  local before
  while :; do
    request GET "/nodes$1?view=children&limit=10000"
    expect 200
    # By number, whatever the prefix: the parent has one counter for all its children.
    before=$(children | sort -t- -k2 | awk -v own="$PLACE" -v prefix="${2:-}" '
      $0 == own { found = 1; exit }
      index($0, prefix) == 1 { last = $0 }
      END { print found ? last : "none" }')
    case $before in
      '') return ;;
      none) session_lost ;;
      *) wait_until_gone "$1/$before" ;;
    esac
  done
}

# wait_until_gone <node>
wait_until_gone() {
  until request GET "/nodes$1?view=stat&wait=30s" -H 'If-None-Match: *' && [ "$STATUS" = 404 ]; do :; done
}
