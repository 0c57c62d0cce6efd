"""What the examples share: requests that are repeated until there is a response, and a session that lives as long as its program."""

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

URL = os.environ.get("WEIR_URL", "http://localhost:7070")
TOKEN = os.environ.get("WEIR_TOKEN")
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}


class Refused(Exception):
    """The server has refused a request: `code` is for programs, the text for people."""

    def __init__(self, problem):
        super().__init__(problem.get("detail", "no reason given"))
        self.code = problem.get("code")
        self.retryable = problem.get("retryable", False)


def send(method, path, body=None, headers={}, timeout=40):
    """Sends a request once; bytes go as they are, anything else as JSON. Returns the headers and the body, parsed if it is JSON."""
    headers = {**AUTHORIZATION, **headers}
    if body is not None and not isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
        body = json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/v1{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            text = response.read().decode()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.headers, json.loads(text) if is_json and text else text
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return error.headers, None
        is_problem = "json" in error.headers.get("Content-Type", "")
        raise Refused(json.loads(error.read()) if is_problem else {"retryable": error.code >= 500})


def request(method, path, body=None, headers={}):
    """As `send`, until there is a response. The key makes the repeats of a write one write."""
    if method != "GET":
        headers = {"Idempotency-Key": uuid.uuid4().hex, **headers}
    while True:
        try:
            return send(method, path, body, headers)
        except Refused as refused:
            if not refused.retryable:
                raise
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.2)


def node(path, **query):
    """The path of a node in a URL."""
    return f"/nodes{urllib.parse.quote(path)}?{urllib.parse.urlencode(query)}"


class Session:
    """A session that a thread renews. `lost` is set before it can have ended, as far as its program runs."""

    def __init__(self, ttl="10s"):
        sent = time.monotonic()
        _, created = request("POST", "/sessions", {"ttl": ttl})
        self.headers = {"Weir-Session": created["session"]}
        self.lost = threading.Event()
        self._ttl = created["ttlMs"] / 1000
        self._deadline = sent + self._ttl
        threading.Thread(target=self._renew, daemon=True).start()

    def _renew(self):
        pause = self._ttl / 3
        while not self.lost.wait(pause):
            sent = time.monotonic()
            left = self._deadline - self._ttl / 5 - sent
            if left <= 0:
                break
            pause = self._ttl / 10
            try:
                send("PUT", "/sessions/self", headers=self.headers, timeout=min(left, self._ttl / 3))
                # Counted from the sending: the server cannot have begun earlier.
                self._deadline, pause = sent + self._ttl, self._ttl / 3
            except Refused as refused:
                if not refused.retryable:
                    break
            except (OSError, http.client.HTTPException):
                pass
        self.lost.set()

    def end(self):
        """Ends it, and so deletes its ephemeral nodes at once."""
        self.lost.set()
        try:
            send("DELETE", "/sessions/self", headers=self.headers, timeout=2)
        except (Refused, OSError):
            pass  # It ends by its time to live.
