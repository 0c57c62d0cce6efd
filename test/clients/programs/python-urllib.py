"""Python's urllib: python3 python-urllib.py URL NAME"""

import sys
import urllib.error
import urllib.request

from steps import run


def ask(method, url, headers, body):
    data = [piece.encode() for piece in body] if isinstance(body, list) else body.encode() if body else None
    request = urllib.request.Request(url, method=method, headers=headers, data=data)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def events(url):
    response = urllib.request.urlopen(url)
    return response.status, (line.decode() for line in response)


run(ask, events, *sys.argv[1:])
