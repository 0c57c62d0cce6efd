"""consume.py GROUP TOPIC: reads a topic as a member of a group, and prints the value of each record"""

import json
import signal
import sys
import time
import urllib.parse
import uuid

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from weir import AUTHORIZATION, URL

group, topic = sys.argv[1:]
# A member that comes back under its id keeps its partitions.
member = uuid.uuid4().hex
query = urllib.parse.urlencode({"topics": topic, "memberId": member, "reset": "earliest"})
url = f"{URL.replace('http', 'ws', 1)}/v1/groups/{urllib.parse.quote(group, safe='')}/stream?{query}"
MAY_JOIN_AGAIN = ("UNKNOWN_MEMBER", "FENCED_MEMBER_EPOCH", "TOO_MANY_REQUESTS")


def consume():
    with connect(url, additional_headers=AUTHORIZATION, max_size=None) as socket:
        send = lambda frame: socket.send(json.dumps(frame))
        send({"type": "credit", "records": 1000})
        epoch = 0
        try:
            for text in socket:
                frame = json.loads(text)
                epoch = frame.get("memberEpoch", epoch)
                if frame["type"] == "revoking":
                    # Another member gets these partitions. All their records are processed, so they can be released at once.
                    send({"type": "released", "memberEpoch": epoch})
                if frame["type"] != "records":
                    continue
                for record in frame["records"]:
                    value = record.get("value")
                    print(value if isinstance(value, str) else json.dumps(value), flush=True)
                offset = {"topic": topic, "partition": frame["partition"], "offset": frame["nextOffset"]}
                send({"type": "commit", "memberEpoch": epoch, "offsets": [offset]})
                send({"type": "credit", "records": len(frame["records"])})
        except SystemExit:
            # Else the member stays in the group until its session timeout.
            send({"type": "leave"})
            raise


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    try:
        consume()
    except ConnectionClosed as closed:
        code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
        if 4400 <= code < 4500 and reason not in MAY_JOIN_AGAIN:
            sys.exit(f"The server has closed the connection: {reason}")
    except (OSError, InvalidHandshake):
        pass
    time.sleep(0.5)
