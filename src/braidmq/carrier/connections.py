"""The connections of a node to brokers, and how they end."""

import select
from collections.abc import Iterable
from typing import Final

from braidmq.carrier.dialed import Broker
from braidmq.carrier.stream import Stream
from braidmq.host.clock import monotonic

HUNG_S: Final = 0.1
"""How long the other side may take to end a connection when all has arrived there. Who hangs is waited for no longer:
its system keeps for it what has arrived."""

_LOOK_S: Final = 0.02
_HEARD: Final = select.POLLIN | select.POLLHUP | select.POLLERR


class Connections:
    """What a node has of the system. It knows nothing of the node, so that it outlives one that is forgotten.

    Attributes:
        brokers: the connections that there are, by the name of the broker.
    """

    def __init__(self) -> None:
        self.brokers: Final[dict[str, Broker]] = {}

    def close(self) -> None:
        """Close all. What waits to be sent is dropped."""
        while self.brokers:
            self.brokers.popitem()[1].close()

    def let_go(self) -> None:
        """Close this process's copies of the connections, which stay those of the process that it was forked from."""
        for broker in self.brokers.values():
            broker.let_go()


def part(streams: Iterable[Stream], linger_s: float) -> None:
    """Let what was sent over some connections leave, and the other sides end them; wait at most `linger_s` for that.

    What still comes is dropped. A connection that is closed while something comes is reset, and what was sent over it
    may be lost.
    """
    poll = select.poll()
    left: dict[int, Stream] = {}
    for stream in streams:
        if not stream.blocked:
            stream.shut()
        if stream.end is None:
            left[stream.descriptor] = stream
            poll.register(stream.descriptor, _HEARD | (select.POLLOUT if stream.blocked else 0))
    dropped: list[bytes] = []
    arrived: dict[int, float] = {}
    now = monotonic()
    deadline = now + linger_s
    while left and now < deadline:
        for descriptor, event in poll.poll(int(min(deadline - now, _LOOK_S) * 1000) + 1):
            stream = left[descriptor]
            if event & select.POLLOUT:
                stream.flush()
                if not stream.blocked:
                    stream.shut()
                    poll.modify(descriptor, _HEARD)
            if event & _HEARD:
                stream.read(dropped)
                dropped.clear()
        now = monotonic()
        for descriptor, stream in list(left.items()):
            if not stream.blocked and descriptor not in arrived and stream.has_arrived():
                arrived[descriptor] = now
            if stream.end is not None or now - arrived.get(descriptor, now) >= HUNG_S:
                poll.unregister(descriptor)
                del left[descriptor]
