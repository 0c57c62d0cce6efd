"""leader-election.py NAME CANDIDATE TOPIC: waits to be elected, and appends a record to the topic each second while it leads"""

import signal
import sys

from weir import Refused, Session, node, request

name, candidate, topic = sys.argv[1:]
election = f"/elections/{name}"


def wait_until_first(own):
    """Waits for the node before its own, so that the end of a leader wakes one candidate."""
    while True:
        _, listed = request("GET", node(election, view="children", limit=10000))
        names = sorted(listed["children"], key=lambda each: each[-10:])
        if own not in names:
            sys.exit("The session has ended while this candidate was waiting.")
        place = names.index(own)
        if place == 0:
            return
        try:
            request("GET", node(f"{election}/{names[place - 1]}", view="stat", wait="30s"), headers={"If-None-Match": "*"})
        except Refused as refused:
            if refused.code != "NO_NODE":
                raise


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
session = Session()
try:
    path = node(f"{election}/candidate-", mode="ephemeral", parents="true")
    _, place = request("POST", path, candidate.encode(), {"Content-Type": "text/plain", **session.headers})
    wait_until_first(place["name"])
    # Grows from leader to leader: a partition refuses an older one once it has seen this one.
    fence = {"Weir-Fence": f"{name}={place['stat']['czxid']}"}
    print(f"{candidate} leads", flush=True)
    while not session.lost.is_set():
        request("POST", f"/topics/{topic}/records", {"records": [{"value": f"{candidate} leads"}]}, fence)
        session.lost.wait(1)
    sys.exit("The session may have ended: somebody else leads.")
finally:
    session.end()
