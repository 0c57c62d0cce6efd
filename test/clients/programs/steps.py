"""The steps that every Python program makes; the programs say how a request is made."""

import json
import threading


def run(ask, events, url, name, watch=None):
    """
    ask(method, url, headers, body) -> (status, headers, text); the body is text, a list of pieces to be chunked, or None.
    events(url) -> (status, an iterator of lines), watch(url, first frame) -> an iterator of frames.
    """
    v1 = url + "/v1"
    node = f"{v1}/nodes/{name}"

    def step(title, method, target, headers=None, body=None, more=None):
        status, sent, text = ask(method, target, headers or {}, body)
        print(title, status, *([more(text)] if more else []), flush=True)
        return sent, text

    def post(title, target, value, headers=None, more=None):
        typed = {"Content-Type": "application/json", **(headers or {})}
        return step(title, "POST", target, typed, json.dumps(value), more)

    def code(text):
        return json.loads(text)["code"]

    def count(text):
        return len(json.loads(text)["records"])

    session = json.loads(post("session", f"{v1}/sessions", {"ttl": "30s"})[1])["session"]
    own = {"Weir-Session": session}
    step("renew", "PUT", f"{v1}/sessions/{session}")
    step("ephemeral", "PUT", f"{node}?mode=ephemeral", own, "blue")
    tag = step("read", "GET", node, more=str)[0]["ETag"]
    step("compare-and-set", "PUT", node, {"If-Match": tag}, "green")
    step("conflict", "PUT", node, {"If-Match": tag}, "green", code)
    seen = ask("GET", node, {}, None)[1]["ETag"]
    waiting = threading.Thread(
        target=lambda: step("long-poll", "GET", f"{node}?wait=20s", {"If-None-Match": seen}, more=str)
    )
    waiting.start()
    ask("PUT", node, {}, "red")
    waiting.join()

    post("topic", f"{v1}/topics", {"name": name})
    records = f"{v1}/topics/{name}/records"
    post("produce", records, {"records": [{"key": "k", "value": 1}, {"value": {"two": 2}}]})
    step("lines", "POST", records, {"Content-Type": "application/x-ndjson"}, ['{"value"', ":3}\n"])
    step("fetch", "GET", f"{v1}/topics/{name}/partitions/0/records?wait=5s", more=count)

    members = f"{v1}/groups/{name}/members"
    joined = json.loads(post("join", members, {"topics": [name], "reset": "earliest"})[1])
    member = f"{members}/{joined['memberId']}"
    secret = {"Weir-Member": joined["memberSecret"]}
    step("consume", "GET", f"{member}/records?wait=5s", secret, more=count)
    owned = {"memberEpoch": joined["memberEpoch"], "owned": joined["assignment"]}
    post("heartbeat", f"{member}/heartbeat", owned, secret)
    step("leave", "DELETE", member, secret)
    step("problem", "GET", f"{v1}/nodes/{name}-none", more=code)

    status, lines = events(f"{v1}/watch/{name}?since=0")
    for line in lines:
        if '"changed"' in line:
            print("events", status, "changed", flush=True)
            break
    if watch:
        frame = {"type": "watch", "id": "w", "path": f"/{name}", "mode": "node", "since": 0}
        for received in watch(f"{v1}/watch".replace("http", "ws", 1), json.dumps(frame)):
            if '"events"' in received:
                print("watch events", flush=True)
                break
    step("end", "DELETE", f"{v1}/sessions/self", own)
