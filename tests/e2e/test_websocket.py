"""Websockets through an engine, by a library that many use, at both ends."""

import json

from headless import Headless
from lab.host import until

SERVER = """
import asyncio, websockets
async def echo(peer):
    async for message in peer:
        await peer.send(message)
async def main():
    async with websockets.serve(echo, "", 8000, max_size=None, subprotocols=["chat"]):
        await asyncio.Future()
asyncio.run(main())
"""

CLIENT = """
import asyncio, json, os, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], max_size=None, subprotocols=["chat"]) as peer:
        big = os.urandom(1_000_000)
        await peer.send("hello")
        words = await peer.recv()
        await peer.send(big)
        whole = await peer.recv() == big
        await (await peer.ping())
        print(json.dumps([words, whole, peer.subprotocol]))
asyncio.run(main())
"""


def test_a_conversation(lab):
    host, client = lab.server(), lab.client()
    host.start("/usr/bin/python3", "-c", SERVER)
    until(lambda: host.run("ss", "-Hltn", "sport = :8000").stdout, "the server listens")
    engine = Headless(lab).serve([{"ip": {"addr": host.ip4, "type": "V4"}, "port": 8000}], app="HTTP",
                                 service={"enable_http2": True})
    said = until(lambda: (r := client.run("/usr/bin/python3", "-c", CLIENT, f"ws://{engine.vip}/chat", check=False)).stdout,
                 "both have talked")
    assert json.loads(said) == ["hello", True, "chat"]
    # What is no websocket for the server is an answer like others.
    assert client.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", engine.url).stdout == "426"
