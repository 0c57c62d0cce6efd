"""httpx, and websockets for the watch: python3 python-httpx.py URL NAME"""

import sys

import httpx
from websockets.sync.client import connect

from steps import run

# 5 s is its default, which is less than the long poll may last.
client = httpx.Client(timeout=40)


def ask(method, url, headers, body):
    content = (piece.encode() for piece in body) if isinstance(body, list) else body
    response = client.request(method, url, headers=headers, content=content)
    return response.status_code, response.headers, response.text


def events(url):
    response = client.send(client.build_request("GET", url), stream=True)
    return response.status_code, response.iter_lines()


def watch(url, frame):
    with connect(url) as socket:
        socket.send(frame)
        yield from socket


run(ask, events, *sys.argv[1:], watch=watch)
