"""The application of a monitor, fed with looks that are made up: nets that no test can start, and strange names."""

import asyncio
import secrets
import threading
import time
from typing import Any

import uvicorn

from braidmq.monitor.access import Access
from braidmq.monitor.board import Board
from braidmq.monitor.operations import Operations
from braidmq.monitor.trial import Trials
from braidmq.monitor.web.app import Site
from braidmq.monitor.web.connection import Connection
from braidmq.monitor.web.feed import Feed
from braidmq.monitor.web.figures import Figures
from braidmq.monitor.web.server import Address, listen
from tests.support.async_tests import wait_until


class _NoTrials(Trials):
    """No node stands behind it that could call anything."""

    def __init__(self):
        """It needs none."""

    def callable(self):
        return frozenset()


class _NoOperations(Operations):
    """And none that has the right to operate."""

    def __init__(self):
        """It needs none."""

    @property
    def allowed(self):
        return False


class FedMonitor:
    """Serves a board on loopback in a thread of its own. `take` gives it looks, `close` ends it."""

    def __init__(self):
        self._listening = listen(Address("127.0.0.1", 0))
        host, port = self._listening.getsockname()
        self.url = f"http://{host}:{port}/"
        self._board = Board("watch", time.time())
        self._feed = Feed(self._board)
        access, figures = Access(None, (), secrets.token_urlsafe), Figures(self._board, self._feed)
        site = Site(
            self._board, self._feed, access, figures,
            trials=_NoTrials(), operations=_NoOperations(), cookie="monitor",
        )  # fmt: skip
        options: dict[str, Any] = {
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "timeout_graceful_shutdown": 1,
        }
        self._server = uvicorn.Server(uvicorn.Config(site.app(), http=Connection, ws="none", **options))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self._server.started)

    def take(self, look):
        """Show a look as the newest one."""
        self._loop.call_soon_threadsafe(self._take, look)
        wait_until(lambda: self._board.sums is not None)

    def _take(self, look):
        self._board.take(look, time.time())
        self._feed.tell()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve([self._listening]))
        self._loop.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._feed.close)
        self._server.should_exit = True
        self._thread.join()
        self._listening.close()
