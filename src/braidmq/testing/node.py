"""The nodes of a TestNet: real ones that can be killed."""

import asyncio
from pathlib import Path

from braidmq import blocking
from braidmq.node import Node
from braidmq.observer import NodeObserver
from braidmq.services import Services
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile


class TestNode(Node):
    """A node that can be killed.

    Attributes:
        home: the event loop it was started in, until it ends.
    """

    __test__ = False

    def __init__(
        self,
        join: JoinFile | Path | str,
        *,
        settings: Settings | None = None,
        services: Services | None = None,
        observer: NodeObserver | None = None,
    ) -> None:
        super().__init__(join, settings=settings, services=services, observer=observer)
        self.home: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """See `braidmq.Node.start`."""
        await super().start()
        self.home = asyncio.get_running_loop()

    async def close(self) -> None:
        """See `braidmq.Node.close`."""
        await super().close()
        self.home = None

    def kill(self) -> None:
        """End it as `kill -9` does: its sockets are closed, nothing is sent, and its calls raise NodeClosed.

        Handlers that are `async def` are cancelled; a `def` handler runs on in its thread, and its result is dropped.
        Call it in the node's own event loop.
        """
        if self.home is not None:
            self.home = None
            self.end_now()


class BlockingTestNode(blocking.Node):
    """A node for programs without asyncio that can be killed."""

    __test__ = False

    def __init__(
        self,
        join: JoinFile | Path | str,
        *,
        settings: Settings | None = None,
        services: Services | None = None,
        observer: NodeObserver | None = None,
    ) -> None:
        super().__init__(join, settings=settings, services=services, observer=observer)
        self._node: TestNode = TestNode(join, settings=settings, services=services, observer=observer)

    def kill(self) -> None:
        """End it as `kill -9` does; see `TestNode.kill`. Call it from any thread but the node's own."""
        if self._thread is not None:
            self._thread.call(self._node.kill)
            self.close()
