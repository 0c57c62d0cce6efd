"""Python's http.client, on one connection for each thread: python3 python-http-client.py URL NAME"""

import http.client
import sys
import threading
from urllib.parse import urlsplit

from steps import run

own = threading.local()


def connect(url):
    return http.client.HTTPConnection(urlsplit(url).netloc)


def ask(method, url, headers, body):
    if not hasattr(own, "connection"):
        own.connection = connect(url)
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    data = (piece.encode() for piece in body) if isinstance(body, list) else body
    own.connection.request(method, target, data, headers, encode_chunked=isinstance(body, list))
    response = own.connection.getresponse()
    return response.status, response.headers, response.read().decode()


def events(url):
    connection = connect(url)
    parts = urlsplit(url)
    connection.request("GET", f"{parts.path}?{parts.query}")
    response = connection.getresponse()
    return response.status, (line.decode() for line in response)


run(ask, events, *sys.argv[1:])
