"""What tests of the pages share: a browser, and a net of real processes with its monitor, for each file."""

from types import SimpleNamespace

import pytest

from braidmq.lab.processes.child import Child
from tests.support.calls import Calls
from tests.support.chromium import chromium
from tests.support.fed_monitor import FedMonitor
from tests.support.processes import LiveNet

TOKEN = "a-token-of-more-than-16-letters"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


class WatchedNet(LiveNet):
    """A net with monitors: one that everybody may read, and one with a token."""

    brokers: dict[str, Child]
    monitor: SimpleNamespace
    guarded: SimpleNamespace


def start_monitor(net, name, *options, port=0):
    """Start a monitor; return its process and its address."""
    child = net.start("monitor", "--join", net.join(name), "--http", f"127.0.0.1:{port}", *options)
    url = child.wait_for_line("shows the net at ").rpartition(" ")[2].strip()
    return SimpleNamespace(child=child, url=url, port=int(url.rstrip("/").rpartition(":")[2]))


@pytest.fixture(scope="module")
def net(browser, tmp_path_factory):
    """Three brokers, a worker, calls, a monitor, and one with a token."""
    directory = tmp_path_factory.mktemp("pages")
    with WatchedNet(directory / "net") as live:
        live.add_members("b1", "b2", "b3")
        live.add_node("watch", observe=True)
        live.authority.add_node("guard", ["*"], observe=True, operate=True)
        live.brokers = {name: live.broker(name) for name in ("b1", "b2", "b3")}
        live.monitor = start_monitor(live, "watch")
        token = directory / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        live.guarded = start_monitor(live, "guard", "--token-file", token)
        with Calls(live, {"worker": ["echo"]}, {"client": ["echo"]}):
            live.wait_for_workers("echo")
            yield live


@pytest.fixture
def fed():
    monitor = FedMonitor()
    yield monitor
    monitor.close()
