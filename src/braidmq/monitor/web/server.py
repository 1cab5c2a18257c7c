"""A monitor as a process: looks at the net again and again, and answers over HTTP, until it is told to end."""

import asyncio
import contextlib
import gc
import logging
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

import uvicorn

from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger
from braidmq.host.loop_notify import LoopNotifier
from braidmq.host.loop_signals import LoopSignals
from braidmq.monitor.access import Access
from braidmq.monitor.board import Board
from braidmq.monitor.looking import looks
from braidmq.monitor.operations import Operations
from braidmq.monitor.trial import Paths, Trials
from braidmq.monitor.web.app import Site
from braidmq.monitor.web.connection import Connection
from braidmq.monitor.web.feed import Feed
from braidmq.monitor.web.figures import Figures
from braidmq.node import Node

BACKLOG: Final = 64
"""Connections that the system holds until they are taken in."""

DRAIN_S_MAX: Final = 3
"""How long answers that are under way may take at the end, in whole seconds. Streams end at once."""

HEAD_BYTES_MAX: Final = 16 * 1024
"""Longest head of a request."""

TICK_S: Final = 1.0
"""How often the date in answers is set."""

IDLE_S_MAX: Final = 30
"""How long a connection is kept on which nothing is asked."""

_LOG = own_logger("braidmq.monitor")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a monitor is reached, and by whom.

    Attributes:
        host: where it listens.
        port: 0 for any.
        hosts: further names under which it is reached.
        token: what shows that somebody may read and act; None if there is none.
        guarded: whether a reverse proxy lets in only who may read.
    """

    host: str
    port: int
    hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    guarded: bool = False


class _Server(uvicorn.Server):
    """uvicorn, until `leaving` is set.

    Signals are left to this program: uvicorn would raise them again at its end, and exit by them. Its own loop looks
    ten times a second whether to end.
    """

    def __init__(self, config: uvicorn.Config, leaving: asyncio.Event, feed: Feed) -> None:
        super().__init__(config)
        self._leaving = leaving
        self._feed = feed

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def main_loop(self) -> None:
        """Wait for the end, keep the time that answers tell, and end the streams."""
        while not self._leaving.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._leaving.wait()
        self._feed.close()


async def run_until_signal(node: Node, paths: Paths, address: Address) -> None:
    """Run a monitor until SIGINT or SIGTERM comes, and let it drain. A second signal ends it at once.

    Args:
        node: what looks at the net; it is started and closed here.
        paths: its observer.
        address: where the monitor is reached.

    Raises:
        ConfigError: it cannot listen there.
        BraidError: no broker has ever told its state, for a reason that does not pass by itself.
    """
    listening = listen(address)
    leaving = asyncio.Event()

    def status() -> str:
        return f"{node.name}: {sum(broker.state == 'up' for broker in node.brokers)} brokers connected"

    def tell() -> None:
        _LOG.info("the monitor is draining")
        manager.stopping()

    with listening, LoopNotifier(status) as manager, LoopSignals(leaving, on_first=tell):
        async with node:
            manager.ready()
            gc.collect()
            gc.freeze()  # what is there now stays: to look through it for cycles takes more than many looks at the net
            await serve(node, paths, address, listening, leaving)
    _LOG.info("the monitor has ended")


async def serve(node: Node, paths: Paths, address: Address, listening: socket.socket, leaving: asyncio.Event) -> None:
    """Look at the net and answer until `leaving` is set.

    Args:
        node: what looks at the net; it was started.
        paths: its observer.
        address: where the monitor is reached.
        listening: the socket there, which is closed at the end.
        leaving: ends it; is set if it ends by itself.

    Raises:
        BraidError: no broker has ever told its state, for a reason that does not pass by itself.
    """
    board = Board(node.name, time.time())
    feed = Feed(board)
    host, port = listening.getsockname()[:2]
    access = Access(address.token, address.hosts, secrets.token_urlsafe)
    figures = Figures(board, feed)
    site = Site(
        board,
        feed,
        access,
        figures,
        trials=Trials(node, paths, asyncio.get_running_loop().time),
        operations=Operations(node),
        cookie=f"braidmq_monitor_{port}",
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # of starts and of broken requests nobody needs a line
    config = uvicorn.Config(
        site.app(),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_S_MAX,
        timeout_graceful_shutdown=DRAIN_S_MAX,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
    )
    server = _Server(config, leaving, feed)

    watching = asyncio.create_task(_watch(node, board, feed, figures))
    watching.add_done_callback(lambda _: leaving.set())
    shown = f"[{host}]" if ":" in host else host
    _LOG.info("%s shows the net at http://%s:%d/", node.name, shown, port)
    try:
        await server.serve([listening])
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _watch(node: Node, board: Board, feed: Feed, figures: Figures) -> None:
    async with contextlib.aclosing(looks(node)) as seen:
        async for look in seen:
            figures.look(look)
            board.take(look, time.time(), node.services_available())
            feed.tell()


def listen(where: Address) -> socket.socket:
    """Take hold of the address of a monitor.

    Raises:
        ConfigError: it cannot be had, or others could read there who must not.
    """
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label of the name is empty or too long
        raise _cannot(where, error) from None
    if where.token is None and not where.guarded and not ip_address(str(address[0]).partition("%")[0]).is_loopback:
        listening.close()
        raise ConfigError(
            f"{where.host}:{where.port} can be reached from other machines: give the monitor a token (--token-file), "
            "or say --guarded-by-proxy if a reverse proxy lets in only who may read"
        )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot(where, error) from None
    return listening


def _cannot(where: Address, error: OSError | UnicodeError) -> ConfigError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConfigError(f"the monitor cannot listen at {where.host}:{where.port}: {why}")
