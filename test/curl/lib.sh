# Shared functions of the scripts of this folder: send one request, and check its response. A script is run as
# `bash test/curl/nodes.sh http://localhost:7070` against a server without data, and stops at the first unexpected
# response.
set -euo pipefail

URL=${1:?"usage: bash $0 <url of a running server>"}
WORK=$(mktemp -d)
BACKGROUND=()
trap 'for pid in ${BACKGROUND[@]+"${BACKGROUND[@]}"}; do kill "$pid" 2>/dev/null || true; done; rm -rf "$WORK"' EXIT

STEP=''
COMMAND=''
STATUS=''

# step <text>: names what the next requests test.
step() {
  STEP=$1
  echo "# $STEP"
}

# request <method> <path and query> [curl options]: sends it, and stores status, headers and body for the checks.
request() {
  local method=$1 target=$2
  shift 2
  COMMAND="curl -X $method${*:+$(printf ' %q' "$@")} '$URL$target'"
  # Without a body, curl leaves the file unchanged.
  : >"$WORK/body"
  # --globoff: the target is sent unchanged. --path-as-is: curl does not remove /../ from it.
  STATUS=$(curl --silent --show-error --globoff --path-as-is --max-time 60 --request "$method" \
    --dump-header "$WORK/headers" --output "$WORK/body" --write-out '%{http_code}' "$@" "$URL$target") ||
    fail "curl ended with status $?"
}

# head_request <path and query> [curl options]
head_request() {
  local target=$1
  shift
  COMMAND="curl --head '$URL$target'"
  STATUS=$(curl --silent --show-error --max-time 60 --head --output "$WORK/headers" --write-out '%{http_code}' "$@" \
    "$URL$target") || fail "curl ended with status $?"
  : >"$WORK/body"
}

fail() {
  {
    echo "not as expected: $1"
    echo "  in the step: $STEP"
    echo "  after:       $COMMAND"
    echo "  the response:"
    sed 's/^/    /' "$WORK/headers" 2>/dev/null || true
    head -c 2000 "$WORK/body" 2>/dev/null | sed 's/^/    /' || true
    echo
  } >&2
  exit 1
}

# expect_status <status>
expect_status() {
  [ "$STATUS" = "$1" ] || fail "the status is $STATUS, not $1"
}

# expect_header <name> <extended regular expression for the whole value>
expect_header() {
  header "$1" | grep -Eqx -- "$2" || fail "the header $1 is '$(header "$1")', which is not $2"
}

# expect_no_header <name>
expect_no_header() {
  [ -z "$(header "$1")" ] || fail "the header $1 is '$(header "$1")', and should not be there"
}

# expect_body <text>: the body contains it.
expect_body() {
  grep -Fq -- "$1" "$WORK/body" || fail "the body does not contain: $1"
}

# expect_no_body_text <text>: the body does not contain it.
expect_no_body_text() {
  ! grep -Fq -- "$1" "$WORK/body" || fail "the body contains: $1"
}

# expect_body_is <text>: the body equals it, or as JSON equals it and the line feed at its end, which $() drops.
expect_body_is() {
  printf '%s' "$1" | cmp -s - "$WORK/body" && return
  case $(header Content-Type) in
    application/*json*) printf '%s\n' "$1" | cmp -s - "$WORK/body" && return ;;
  esac
  fail "the body is not: $1"
}

# expect_body_like <extended regular expression>: a line of the body matches.
expect_body_like() {
  grep -Eq -- "$1" "$WORK/body" || fail "the body does not match: $1"
}

# expect_problem <status> <code> [<text in the detail>]: the response is such a problem.
expect_problem() {
  expect_status "$1"
  expect_header Content-Type 'application/problem\+json.*'
  expect_body "\"status\":$1,\"code\":\"$2\""
  [ -z "${3:-}" ] || expect_body "$3"
}

# header <name>: prints its value in the last response, or nothing.
header() {
  tr -d '\r' <"$WORK/headers" | sed -n "s/^$1: *//Ip" | tail -n 1
}

# field <name>: prints the first field of that name in the JSON body: a text, a number, true, false or null.
field() {
  grep -oE "\"$1\":(\"[^\"]*\"|[-0-9]+|true|false|null)" "$WORK/body" | head -n 1 | sed -E "s/^\"$1\":\"?//; s/\"\$//"
}

# until_status <status> <method> <path>: repeats the request until it has that status.
until_status() {
  local wanted=$1 deadline=$((SECONDS + 20))
  shift
  while request "$@" && [ "$STATUS" != "$wanted" ]; do
    [ $SECONDS -lt $deadline ] || fail "the status is still $STATUS, not $wanted"
    sleep 0.05
  done
}

# open_stream <name> <path and query> [curl options]: keeps a request open in the background, as in another
# terminal. Its output is the stream of that name.
open_stream() {
  local name=$1 target=$2
  shift 2
  COMMAND="curl --no-buffer${*:+$(printf ' %q' "$@")} '$URL$target' &"
  curl --silent --show-error --no-buffer --globoff --max-time 60 --dump-header "$WORK/$name.headers" "$@" "$URL$target" \
    >"$WORK/$name" 2>"$WORK/$name.errors" &
  BACKGROUND+=($!)
}

# until_streamed <name> <text>: waits until the stream contains it.
until_streamed() {
  local deadline=$((SECONDS + 20))
  until grep -Fq -- "$2" "$WORK/$1" 2>/dev/null; do
    if [ $SECONDS -ge $deadline ]; then
      cp "$WORK/$1.headers" "$WORK/headers" 2>/dev/null || true
      cp "$WORK/$1" "$WORK/body"
      fail "the stream does not have: $2"
    fi
    sleep 0.05
  done
}

# until_ended <name>: waits for the end of the newest request in the background, whose response is then checked.
until_ended() {
  wait "${BACKGROUND[-1]}" || fail "curl ended with status $?: $(cat "$WORK/$1.errors")"
  mv "$WORK/$1.headers" "$WORK/headers"
  mv "$WORK/$1" "$WORK/body"
  STATUS=$(sed -nE 's/^HTTP\/[0-9.]+ ([0-9]+).*/\1/p' "$WORK/headers" | tail -n 1)
}
