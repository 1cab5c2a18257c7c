"""A member that goes on talking: `python -m faults.talker JOIN LISTENER`. It calls another node without a pause.

For each line on its stdin it writes one to its stdout: a `Said` in JSON.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from time import monotonic

import msgspec

from braidmq import Node, Request
from braidmq.errors import BraidError
from braidmq.settings import Settings
from faults.clients import run

PAUSE_S = 0.002
"""Between two calls, so that it hears of their ends."""


class Said(msgspec.Struct):
    """What has become of it.

    Attributes:
        accepted_at: when the last call was answered, by the monotonic clock of the machine.
        brokers: those that it is connected to.
    """

    accepted_at: float
    brokers: list[str]


SERVICE = "listen"


async def listen(_request: Request) -> bytes:
    """Hear it."""
    return b""


async def serve(join: str, listener: str) -> None:
    """Talk until stdin ends or SIGTERM comes, to a node with another join file; then leave with a goodbye."""
    lines, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, lines.feed_eof)
    said = Said(0.0, [])
    node, other = Node(join, settings=Settings(reconnect_s_max=0.5)), Node(listener)
    other.service(SERVICE)(listen)
    await other.start()
    await node.start()

    async def talk(broker: str) -> None:
        while True:
            with suppress(BraidError):
                await node.request(SERVICE, b"on and on", timeout=1.0, attempts=1, via=broker)
                said.accepted_at = monotonic()
            await asyncio.sleep(PAUSE_S)

    await node.settled(10.0)
    talks = [asyncio.create_task(talk(broker.name)) for broker in node.brokers]
    async for _line in lines:
        said.brokers = [broker.name for broker in node.brokers if broker.state in ("up", "suspect", "draining")]
        print(msgspec.json.encode(said).decode(), flush=True)
    for each in talks:
        each.cancel()
    await node.close()
    await other.close()


if __name__ == "__main__":
    run(serve(sys.argv[1], sys.argv[2]))
