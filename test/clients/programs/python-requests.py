"""requests, with a Session: python3 python-requests.py URL NAME"""

import sys

import requests

from steps import run

session = requests.Session()


def ask(method, url, headers, body):
    data = (piece.encode() for piece in body) if isinstance(body, list) else body
    response = session.request(method, url, headers=headers, data=data)
    return response.status_code, response.headers, response.text


def events(url):
    response = requests.get(url, stream=True)
    return response.status_code, response.iter_lines(decode_unicode=True)


run(ask, events, *sys.argv[1:])
