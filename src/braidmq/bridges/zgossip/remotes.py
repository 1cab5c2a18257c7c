"""The zgossip nodes that a bridge connects to: one DEALER for each, which is opened again whenever it ends."""

import asyncio
import os
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from braidmq.bridges.limits import HANDSHAKE_S_MAX
from braidmq.bridges.link import Link
from braidmq.bridges.port import Peer
from braidmq.bridges.router import Router
from braidmq.bridges.zgossip.limits import RECONNECT_S_MAX
from braidmq.errors import ConfigError
from braidmq.trust.endpoint import IPC_SCHEME, SOCKET_PATH_BYTES_MAX, check_endpoint

_TCP_SCHEME: Final = "tcp://"

RECONNECT_S_MIN: Final = 0.1
"""Pause before the first try to connect again; it doubles with each connection that does not last."""


class Pauses:
    """How long to wait until a node is connected to again."""

    def __init__(self) -> None:
        self._next_s = RECONNECT_S_MIN

    def after(self, stood_s: float) -> float:
        """Return the pause after a connection that stood so long; 0: there was none.

        One that stood for less than the longest pause does not count: to each, all that is known is told anew.
        """
        if stood_s >= RECONNECT_S_MAX:
            self._next_s = RECONNECT_S_MIN
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, RECONNECT_S_MAX)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret


class Behind(Protocol):
    """What stands behind connections, besides what stands behind their router."""

    def on_connected(self, peer: Peer) -> None:
        """Note that a connection stands. It ends by `on_gone`; the next one is another peer."""


class Remotes:
    """Connections to other nodes. Create it inside a running event loop; end it with `close`.

    Args:
        behind: is told of connections.
        router: has them, and tells what comes by them.
    """

    def __init__(self, behind: Behind, router: Router) -> None:
        self._behind = behind
        self._router = router
        self._tasks: list[asyncio.Task[None]] = []

    def connect(self, endpoints: Sequence[str]) -> None:
        """Begin to connect to nodes, whether they are there or not.

        Args:
            endpoints: as `places.check_endpoint` accepts them.

        Raises:
            ConfigError: one of them has a host that can be none.
        """
        for endpoint in endpoints:
            _check(endpoint)
        loop = asyncio.get_running_loop()
        self._tasks += [loop.create_task(self._stay(endpoint)) for endpoint in endpoints]

    async def close(self) -> None:
        """Connect no more. What stands is the router's to end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _stay(self, endpoint: str) -> None:
        loop, pauses = asyncio.get_running_loop(), Pauses()
        while True:
            stood_s = 0.0
            lost = asyncio.Event()
            link = self._router.dialled(lambda: self._on_open(endpoint), lost.set)
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(HANDSHAKE_S_MAX):
                    await _open(link, endpoint)
                made_at = loop.time()
                await lost.wait()
                if link.peer is not None:
                    stood_s = loop.time() - made_at
            await asyncio.sleep(pauses.after(stood_s))

    def _on_open(self, endpoint: str) -> Peer:
        peer = Peer(b"", endpoint)
        self._behind.on_connected(peer)
        return peer


async def _open(link: Link, endpoint: str) -> None:
    loop = asyncio.get_running_loop()
    if endpoint.startswith(IPC_SCHEME):
        path = endpoint.removeprefix(IPC_SCHEME)
        await loop.create_unix_connection(lambda: link, f"\0{path[1:]}" if path.startswith("@") else path)
    else:
        host, _, port = endpoint.removeprefix(_TCP_SCHEME).rpartition(":")
        await loop.create_connection(lambda: link, host.strip("[]"), int(port))


def _check(endpoint: str) -> None:
    if endpoint.startswith(IPC_SCHEME):
        if len(os.fsencode(endpoint.removeprefix(IPC_SCHEME))) > SOCKET_PATH_BYTES_MAX:
            raise ConfigError(f"cannot connect to {endpoint}: a path has at most {SOCKET_PATH_BYTES_MAX} bytes")
        return
    try:
        check_endpoint(endpoint)
    except ConfigError as error:
        raise ConfigError(f"cannot connect to {endpoint}: {error}") from None
