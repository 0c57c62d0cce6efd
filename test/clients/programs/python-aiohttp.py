"""aiohttp, with its own WebSocket: python3 python-aiohttp.py URL NAME"""

import asyncio
import sys
import threading

import aiohttp

from steps import run

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def wait(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


async def new_session():
    return aiohttp.ClientSession()


session = wait(new_session())


async def pieces(body):
    for piece in body:
        yield piece.encode()


async def request(method, url, headers, body):
    data = pieces(body) if isinstance(body, list) else body
    async with session.request(method, url, headers=headers, data=data) as response:
        return response.status, response.headers, await response.text()


async def until(lines, found):
    async for line in lines:
        if found in line:
            return line


async def changed(url):
    async with session.get(url) as response:
        texts = (line.decode() async for line in response.content)
        return response.status, [await until(texts, '"changed"')]


async def watched(url, frame):
    async with session.ws_connect(url) as socket:
        await socket.send_str(frame)
        return [await until((message.data async for message in socket), '"events"')]


run(
    lambda *request_of: wait(request(*request_of)),
    lambda url: wait(changed(url)),
    *sys.argv[1:],
    watch=lambda url, frame: wait(watched(url, frame)),
)
wait(session.close())
