"""`braidmq status` names what is wrong with real processes, and says by its exit code that something is."""

import shutil
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from braidmq import NodeClosed, RequestError
from braidmq.blocking import Node
from braidmq.monitor.finding import Kind
from braidmq.testing import TestNet
from tests.support.findings import named, well
from tests.support.processes import wait_until

NAMES = ("b1", "b2", "b3")


@pytest.fixture
def three(live):
    """Three brokers and a worker, all well."""
    live.add_members(*NAMES)
    live.children = {name: live.broker(name) for name in NAMES}
    live.children["worker"] = live.serve("--service", "echo", "--exec", "cat", "--concurrency", "2")
    live.wait_for_workers("echo")
    live.wait_for_agreement(*NAMES)
    return live


def test_a_net_that_is_well_says_so_and_a_broker_that_is_killed_is_named(three):
    assert well(three)["health"].startswith("all is well: 3 brokers (b1, b2, b3), 2 nodes, 1 service")
    three.children["b2"].end(signal.SIGKILL)
    found = named(three, Kind.BROKER_DEAD, "b2")
    assert "nothing answers there" in found["why"]
    assert "`braidmq broker --join b2.braid`" in found["remedy"]
    text = three.run("status", "--join", three.join("observer")).stdout.decode()
    assert text.startswith("something is wrong: b2 is dead")
    assert "\n  ! b2 is dead" in text
    three.broker("b2")
    well(three)


@pytest.mark.nightly
def test_a_broker_that_is_stopped_in_order_is_told_apart(three):
    three.children["b2"].end(signal.SIGTERM)
    found = named(three, Kind.BROKER_STOPPED, "b2")
    assert found["what"].startswith("b2 was stopped ")


@pytest.mark.nightly
def test_a_broker_that_stands_still_is_named(three):
    three.children["b2"].send_signal(signal.SIGSTOP)
    try:
        found = named(three, Kind.BROKER_HANGS, "b2")
        assert found["what"].startswith("b2 hangs")
    finally:
        three.children["b2"].send_signal(signal.SIGCONT)
    well(three)


@pytest.mark.nightly
def test_a_worker_that_stands_still_is_named_and_so_is_one_that_is_killed(three):
    worker = three.children["worker"]
    worker.send_signal(signal.SIGSTOP)
    try:
        found = named(three, Kind.WORKER_HANGS, "worker")
        assert "nobody else serves echo" in found["why"]
    finally:
        worker.send_signal(signal.SIGCONT)
    three.wait_for_workers("echo")
    well(three)
    worker.end(signal.SIGKILL)
    found = named(three, Kind.WORKER_DEAD, "worker")
    assert "without a goodbye" in found["why"]
    three.serve("--service", "echo", "--exec", "cat")
    well(three)


@pytest.fixture
def apart():
    """Three brokers in this process, over real sockets, and what cuts some off from each other."""
    with TestNet(brokers=3) as net:
        net.node("observer", observe=True)
        yield net


@pytest.mark.nightly
def test_brokers_that_do_not_reach_each_other_are_named_while_both_answer(apart):
    well(apart)
    apart.partition("b1", "b3")
    apart.partition("b2", "b3")
    wait_until(
        lambda: named(apart, Kind.BROKERS_APART, "b3")["what"].startswith("b3 is cut off from b1 and b2"),
        "all of them have noticed",
    )
    apart.heal()
    well(apart)


@pytest.mark.nightly
def test_an_older_registry_at_a_broker_that_hears_of_no_newer_one_is_named(apart, tmp_path):
    b3, version = apart.brokers["b3"], apart.authority.manifest().version
    b3.kill()
    b3.join = Path(shutil.copy(b3.join, tmp_path / "b3.braid"))
    apart.partition("b1", "b3")
    apart.partition("b2", "b3")
    b3.restart()
    apart.authority.add_node("another")
    found = named(apart, Kind.REGISTRY_OLD, "b3")
    assert f"b3 has registry {version}, which is older than registry {version + 1}" in found["what"]
    apart.heal()
    well(apart)


@contextmanager
def flood(net, callers=8):
    """Ask for much more than the one worker can do."""
    over = threading.Event()

    def ask():
        while not over.is_set():
            try:
                client.request("slow", b"", timeout=0.5)
            except (RequestError, NodeClosed):
                continue

    with Node(net.join("client")) as client:
        threads = [threading.Thread(target=ask) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


@pytest.mark.nightly
def test_an_overload_is_named_with_who_asks_for_most(live):
    live.add_members("b1", "b2")
    for name in ("b1", "b2"):
        live.broker(name, "--set", "queue_messages_max=4")
    live.serve("--service", "slow", "--exec", "sleep 0.2", "--concurrency", "1")
    live.wait_for_workers("slow")
    with flood(live, callers=40):
        found = named(live, Kind.OVERLOAD, "slow")
        assert "client (" in found["why"]
    well(live)


@pytest.mark.nightly
def test_a_certificate_that_ends_soon_is_named(live):
    live.add_members("b1", "b2")
    live.authority.add_node("soon", not_after=int(time.time()) + 3_600)
    live.authority.add_node("later", not_after=int(time.time()) + 3 * 86_400)
    for name in ("b1", "b2"):
        live.broker(name)
    found = named(live, Kind.CERTIFICATE_ENDS, "soon")
    assert "`braidmq renew soon --net DIR`" in found["remedy"]
    assert not named(live, Kind.CERTIFICATE_SOON, "later")["wrong"]
