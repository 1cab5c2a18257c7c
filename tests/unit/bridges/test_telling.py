"""What bridges tell of themselves: to brokers, and to Prometheus."""

import asyncio
import contextlib
import socket
import threading
import urllib.request

import msgspec
import pytest

from braidmq.bridges import metrics as module
from braidmq.bridges.http.bridge import HttpOptions
from braidmq.bridges.kinds import HOMES, Plan, kind
from braidmq.bridges.metrics import READERS_MAX, Metrics
from braidmq.bridges.router import COUNTED
from braidmq.bridges.telling import DENIED, DROPPED, ERRORS, REQUESTS, Figures
from braidmq.errors import ConfigError
from braidmq.testing import TestNet
from braidmq.wire.control import BridgeStatus
from tests.support.async_tests import until
from tests.support.mdp_peers import OLD_CLIENT, OLD_WORKER, Peers

pytest.importorskip("prometheus_client")


@pytest.fixture
def peers():
    made = Peers()
    yield made
    made.close()


@pytest.fixture
def metrics():
    made = Metrics()
    yield made
    made.close()


@contextlib.asynccontextmanager
async def bridged(net, name, metrics=None):
    """A running bridge of the member bridge-1, and an observer of the net."""
    net.node("bridge-1")
    observer = net.node("observer", observe=True)
    await observer.start()
    await observer.settled(10)  # else it asks nobody
    of = kind(name)
    place = "127.0.0.1:0" if of.options is HttpOptions else "tcp://127.0.0.1:*"
    options = msgspec.convert({"bind": [place]}, of.options)
    made = of.make(Plan(options, net.join("bridge-1"), net.authority.directory, net.settings, metrics=metrics))
    await made.start()
    try:
        yield made, observer
    finally:
        await made.close()


async def told(observer, holds):
    """Wait until every broker tells of a bridge of which something holds; return what one of them tells."""
    async with asyncio.timeout(20):
        while True:
            reports = (await observer.observe()).values()
            found = [node.bridge for report in reports for node in report.nodes if node.name == "bridge-1"]
            if found and all(each is not None and holds(each) for each in found):
                return found[0]


@pytest.mark.parametrize("name", HOMES)
async def test_every_kind_of_bridge_tells_brokers_what_it_is(name):
    async with TestNet(brokers=2) as net, bridged(net, name) as (_, observer):
        assert await told(observer, lambda bridge: True) == BridgeStatus(name)


@pytest.mark.nightly
async def test_brokers_are_told_of_peers_and_services_and_of_what_was_denied_and_dropped(peers):
    async with TestNet() as net, bridged(net, "majordomo") as (bridge, observer):
        (place,) = bridge.endpoints()
        worker, client, stranger = (peers.peer(place) for _ in range(3))
        worker.say(*OLD_WORKER, b"\1", b"mdp.echo")
        client.say(*OLD_CLIENT, b"mmi.service", b"mdp.echo")
        assert (await client.hear())[-1] == b"200"
        stranger.say(*OLD_WORKER, b"\1", b"mmi.mine")
        stranger.say(b"nonsense")
        bridge_told = await told(observer, lambda bridge: bool(bridge.dropped and bridge.denied and bridge.services))
        assert bridge_told == BridgeStatus("majordomo", 3, 1, 1, 0, 1, 1)


@pytest.mark.nightly
async def test_prometheus_is_told_the_same_and_what_the_node_measures(peers, metrics):
    async with TestNet() as net, bridged(net, "majordomo", metrics) as (bridge, _):
        url = metrics.serve("0")
        assert url.startswith("http://127.0.0.1:")
        (place,) = bridge.endpoints()
        client = peers.peer(place)
        client.say(*OLD_CLIENT, b"mmi.service", b"x")
        await client.hear()
        lines = []

        def shown():
            with urllib.request.urlopen(url, timeout=10) as answer:
                lines[:] = answer.read().decode().splitlines()
            return 'braidmq_bridge_peers{bridge="bridge-1",kind="majordomo"} 1.0' in lines

        await until(shown)
        assert 'braidmq_bridge_events_total{bridge="bridge-1",event="requests",kind="majordomo"} 1.0' in lines
        assert 'braidmq_bridge_services{bridge="bridge-1",kind="majordomo"} 0.0' in lines
        assert any(line.startswith("# TYPE rpc_client_call_duration_seconds") for line in lines)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("here", "no place for metrics"),
        ("1:2:x", "no place"),
        ("65536", "no place"),
        ("²", "no place"),
        ("9" * 5_000, "no place"),
        (f"127.0.0.1:{'9' * 5_000}", "no place"),
        ("no..name:0", "cannot show metrics at no..name:0: .*label empty"),
        ("256.0.0.1:0", "cannot show"),
    ],
)
def test_a_place_where_metrics_cannot_be_shown_is_told(metrics, place, said):
    with pytest.raises(ConfigError, match=said):
        metrics.serve(place)


def readers():
    """The threads that serve somebody."""
    return sum("process_request_thread" in each.name for each in threading.enumerate())


def asked(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status


async def test_strangers_at_the_metrics_take_no_more_threads_than_there_are_and_keep_nobody_out(metrics):
    url = metrics.serve("0")
    port = int(url.rpartition(":")[2].partition("/")[0])
    with contextlib.ExitStack() as ends:
        strangers = [ends.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(READERS_MAX)]
        await until(lambda: readers() == READERS_MAX)
        assert await asyncio.to_thread(asked, url) == 200
        strangers[0].settimeout(10)
        assert not strangers[0].recv(1), "the oldest has made room"
        await until(lambda: readers() <= READERS_MAX)
    await until(lambda: not readers())


def answered(place, hosts):
    """Return the status of the answer to somebody who says to whom he talks, and whether he was shown anything."""
    with socket.create_connection(place, timeout=10) as reader:
        fields = "".join(f"Host: {host}\r\n" for host in hosts)
        reader.sendall(f"GET /metrics HTTP/1.0\r\n{fields}\r\n".encode())
        with reader.makefile("rb") as said:
            return int(said.readline().split()[1]), b"braidmq_bridge_peers" in said.read()


@pytest.mark.parametrize(
    ("hosts", "knows"),
    [
        (["127.0.0.1:{port}"], True),
        (["127.0.0.1"], True),
        (["LOCALHOST:{port}"], True),
        (["localhost."], True),
        (["[::1]:{port}"], True),
        (["evil.example:{port}"], False),
        (["127.0.0.1.evil.example"], False),
        (["evil.example@127.0.0.1"], False),
        (["127.0.0.1", "evil.example"], False),
        (["127.0.0.1/evil.example"], False),
        ([""], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("place", ["0", "127.0.0.2:0", "LOCALHOST:0", "0.0.0.0:0"])
def test_metrics_of_this_machine_are_shown_to_no_page_whose_name_was_made_to_lead_here(metrics, place, hosts, knows):
    port = int(metrics.serve(place).rpartition(":")[2].partition("/")[0])
    host = "127.0.0.2" if place.startswith("127.0.0.2") else "127.0.0.1"
    is_shown = knows or place == "0.0.0.0:0"  # its names are told to nobody
    said = answered((host, port), [each.format(port=port) for each in hosts])
    assert said == ((200, True) if is_shown else (421, False))


async def test_who_takes_too_long_at_the_metrics_is_cut(metrics, monkeypatch):
    monkeypatch.setattr(module, "READ_S_MAX", 0.1)
    port = int(metrics.serve("0").rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.settimeout(10)
        stranger.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert not stranger.recv(1)
    await until(lambda: not readers())


def test_every_counter_that_is_summed_up_is_summed_up_once():
    names = [*REQUESTS, *ERRORS, *DENIED, *DROPPED]
    assert len(names) == len(set(names))
    assert Figures(1, 0, {"denied": 2, "refused": 3, "jobs": 9}).sum(DENIED) == 5


def test_what_an_endpoint_refuses_and_drops_is_summed_up():
    gone = {"unreachable"}  # whoever has left loses nothing
    assert set(COUNTED) - gone <= {*DENIED, *DROPPED}
