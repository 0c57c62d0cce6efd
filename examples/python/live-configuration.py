"""live-configuration.py APPLICATION: prints the settings as a line of JSON, and again at each transaction that changes them"""

import base64
import json
import signal
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from weir import AUTHORIZATION, URL, Refused, node, request

application = sys.argv[1]
root = f"/settings/{application}"


class Compacted(Exception):
    """The changes since what was read are not kept any more."""


def read_all():
    """All settings as they were at one zxid: whoever sees anything newer than the list of keys reads again."""
    while True:
        try:
            headers, listed = request("GET", node(root, view="children", limit=10000))
        except Refused as refused:
            if refused.code != "NO_NODE":
                raise
            headers, _ = request("GET", node("/", view="stat"))
            return int(headers["Weir-Zxid"]), {}
        zxid = int(headers["Weir-Zxid"])
        try:
            nodes = {key: request("GET", node(f"{root}/{key}", view="node"))[1] for key in listed["children"]}
        except Refused as refused:
            if refused.code != "NO_NODE":
                raise
            continue
        if all(each["stat"]["mzxid"] <= zxid for each in nodes.values()):
            return zxid, {key: text_of(each) for key, each in nodes.items()}


def text_of(data):
    return base64.b64decode(data["data"]).decode() if data.get("encoding") == "base64" else data["data"]


def apply(settings, event):
    key = event["path"][len(root) + 1 :]
    if key == "" or "/" in key or event["type"] == "children":
        return
    if event["type"] == "deleted":
        settings.pop(key, None)
    elif event.get("truncated"):
        settings[key] = text_of(request("GET", node(event["path"], view="node"))[1])
    else:
        settings[key] = text_of(event)


def follow(zxid, settings):
    """Applies transaction after transaction, each as a whole. Yields the zxid up to which the settings are as they should be."""
    watch = {"type": "watch", "id": "w", "path": root, "mode": "recursive", "data": True, "since": zxid}
    with connect(f"{URL.replace('http', 'ws', 1)}/v1/watch", additional_headers=AUTHORIZATION, max_size=None) as socket:
        socket.send(json.dumps(watch))
        while True:
            # There is a bookmark at least every 10 s.
            frame = json.loads(socket.recv(timeout=20))
            if frame["type"] == "error":
                raise Compacted if frame["code"] == "COMPACTED" else ConnectionError(frame["detail"])
            if frame["type"] == "events":
                for event in frame["events"]:
                    apply(settings, event)
                print(json.dumps(settings, sort_keys=True, separators=(",", ":")), flush=True)
            if frame["type"] in ("events", "bookmark"):
                yield frame["zxid"]


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    zxid, settings = read_all()
    print(json.dumps(settings, sort_keys=True, separators=(",", ":")), flush=True)
    while True:
        try:
            for zxid in follow(zxid, settings):
                pass
        except Compacted:
            break
        except (OSError, ConnectionClosed, InvalidHandshake):
            time.sleep(0.3)
