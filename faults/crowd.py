"""A process of many idle nodes: `python -m faults.crowd JOIN...`. It says how many are connected to each broker.

For each line on its stdin it writes one to its stdout: the number of nodes for which every broker is up.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from braidmq import Node
from faults.clients import run


async def serve(joins: Sequence[str]) -> None:
    """Hold the nodes until stdin ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(join)) for join in joins]
        async for _line in lines:
            print(sum(all(broker.state == "up" for broker in node.brokers) for node in nodes), flush=True)


if __name__ == "__main__":
    run(serve(sys.argv[1:]))
