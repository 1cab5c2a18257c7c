"""A whole net in one process, for tests: real brokers, keys and sockets, and faults on demand.

::

    async with TestNet(brokers=2) as net:
        worker = net.node("worker")

        @worker.service("pricing")
        async def pricing(request: Request) -> bytes:
            return b"42"

        async with worker, net.node("client") as client:
            await net.served("pricing")
            net.brokers["b1"].kill()
            assert (await client.request("pricing")).payload == b"42"

Every broker runs in a thread of its own and listens on a port of 127.0.0.1 that stays reserved for it while it
is down. What belongs to the net (threads, sockets, its temporary directory) is gone when the block is left.
"""

from braidmq.testing.broker import TestBroker
from braidmq.testing.net import TestNet
from braidmq.testing.node import BlockingTestNode, TestNode

__all__ = ["BlockingTestNode", "TestBroker", "TestNet", "TestNode"]
