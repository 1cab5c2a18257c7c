"""What tests of the pages share: a browser, and a net of real processes with its monitor, for each file."""

import asyncio
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from braidmq import Node, RequestError, Services
from braidmq.settings import Settings
from tests.support.chromium import chromium
from tests.support.fed_monitor import FedMonitor
from tests.support.processes import LiveNet

TOKEN = "a-token-of-more-than-16-letters"

PAUSE_S = 0.02
"""Between two calls of the load."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def start_monitor(net, name, *options, port=0):
    """Start a monitor; return its process and its address."""
    child = net.start("monitor", "--join", net.join(name), "--http", f"127.0.0.1:{port}", *options)
    url = child.wait_for_line("shows the net at ").rpartition(" ")[2].strip()
    return SimpleNamespace(child=child, url=url, port=int(url.rstrip("/").rpartition(":")[2]))


@pytest.fixture(scope="module")
def net(browser, tmp_path_factory):
    """Three brokers, a worker, calls, a monitor, and one with a token."""
    directory = tmp_path_factory.mktemp("pages")
    with LiveNet(directory / "net") as live:
        live.add_members("b1", "b2", "b3")
        live.add_node("watch", observe=True)
        live.add_node("guard", observe=True)
        live.brokers = {name: live.broker(name) for name in ("b1", "b2", "b3")}
        live.monitor = start_monitor(live, "watch")
        token = directory / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        live.guarded = start_monitor(live, "guard", "--token-file", token)
        with Calls(live):
            live.wait_for_workers("echo")
            yield live


class Calls:
    """A worker and a caller, both in a thread, for as long as it is entered."""

    def __init__(self, net):
        self._net = net
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._loop = None
        self._ended = None
        self._ready = threading.Event()

    def __enter__(self):
        self._thread.start()
        self._ready.wait()

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _run(self):
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        services = Services()
        services.service("echo")(echo)
        settings = Settings(reconnect_s_max=0.5)
        worker = Node(self._net.join("worker"), services=services, settings=settings)
        client = Node(self._net.join("client"), settings=settings)
        async with worker, client:
            self._ready.set()
            while not self._ended.is_set():
                with suppress(RequestError):  # a broker is killed under it
                    await client.request("echo", b"hello", timeout=5.0, wait=True)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), PAUSE_S)


async def echo(request):
    return request.payload


@pytest.fixture
def fed():
    monitor = FedMonitor()
    yield monitor
    monitor.close()
