"""The zgossip bridge among real nodes of libczmq, in front of real brokers."""

import contextlib
import signal
from time import monotonic

import pytest
import zmq

from braidmq.blocking import Node
from braidmq.errors import ServiceError
from braidmq.lab.processes.ports import free_ports
from braidmq.trust import joinfile
from tests.support.czmq import CzmqNode, need_czmq
from tests.support.processes import wait_until

HELLO, PING, INVALID = b"\xaa\xa0\x01\x01", b"\xaa\xa0\x03\x01", b"\xaa\xa0\x05\x01"
MALFORMED = [
    b"",
    b"\xaa\xa1\x01\x01",
    b"\xaa\xa0\x09\x01",
    b"\xaa\xa0\x02\x01\x05ke",
    b"\xaa\xa0\x02\x02\x01x\0\0\0\x012",
]


class Bridged:
    """Two brokers, a worker for `pricing`, and a bridge; foreign nodes come and go."""

    def __init__(self, live):
        self.live = live
        live.add_members("b1", "b2")
        live.add_node("bridge-1", calls=["*"], serves=["zgossip.*"])
        self.brokers = {name: live.broker(name) for name in ("b1", "b2")}
        self.worker = live.serve("--service", "pricing", "--exec", "cat")
        live.wait_for_workers("pricing")
        self.endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        self.net = joinfile.load(live.join("bridge-1")).net
        self.bridge = None

    def start(self, *kinds, config=""):
        """Start the bridge."""
        path = self.live.directory / "bridges.toml"
        path.touch(mode=0o600)
        path.write_text(f'[zgossip]\nbind = ["{self.endpoint}"]\n{config}')
        self.bridge = self.live.start("bridge", *kinds, "--join", self.live.join("bridge-1"), "--config", path)
        self.bridge.wait_for_line("the zgossip bridge of bridge-1 listens at ")

    def key(self, what):
        return f"braidmq/{self.net}/{what}"

    def node(self, *, connected=True):
        """Start a node of libczmq."""
        need_czmq()
        node = CzmqNode(self.live)
        if connected:
            node.connect(self.endpoint)
        return node


@pytest.fixture
def net(live):
    return Bridged(live)


@pytest.fixture
def dealers():
    with zmq.Context() as context, contextlib.ExitStack() as sockets:

        def dealer():
            socket = sockets.enter_context(context.socket(zmq.DEALER))
            socket.linger = 0
            return socket

        yield dealer


def test_node_that_connects_is_told_of_the_net_and_of_its_changes(net):
    net.start()
    node = net.node()
    node.wait_for(net.key("bridge/bridge-1/zgossip"), net.endpoint)
    node.wait_for(net.key("service/pricing/bridge-1"), "2")
    for name in ("b1", "b2"):
        node.wait_for(net.key(f"broker/{name}/bridge-1"), net.live.endpoints[name])
    net.brokers["b1"].end(signal.SIGKILL)
    node.wait_for(net.key("broker/b1/bridge-1"), "")
    node.wait_for(net.key("service/pricing/bridge-1"), "1")
    net.worker.end()
    node.wait_for(net.key("service/pricing/bridge-1"), "")
    net.bridge.end()
    node.wait_for(net.key("bridge/bridge-1/zgossip"), "")
    assert node.lives()


@pytest.mark.nightly
def test_node_that_has_been_silent_for_30_s_is_told_of_changes(net):
    net.start()
    node = net.node()
    node.wait_for(net.key("service/pricing/bridge-1"), "2")
    silent_since = monotonic()
    wait_until(lambda: monotonic() > silent_since + 30, "30 s have gone", timeout=60)
    net.brokers["b1"].end(signal.SIGKILL)
    node.wait_for(net.key("service/pricing/bridge-1"), "1")


@pytest.mark.nightly
def test_bridges_of_one_process_are_published_and_addresses_that_are_told(net):
    port = free_ports(2)[1]
    net.start(config=f'publish.http = ["http://shop:80"]\n[majordomo]\nbind = ["tcp://127.0.0.1:{port}"]\n')
    node = net.node()
    node.wait_for(net.key("bridge/bridge-1/majordomo"), f"tcp://127.0.0.1:{port}")
    node.wait_for(net.key("bridge/bridge-1/http"), "http://shop:80")


@pytest.mark.nightly
def test_bridge_hears_of_a_node_that_has_forgotten_others(net, dealers):
    far, near = net.node(connected=False), net.node()
    endpoint = far.bind()
    far.publish("at/first", "1")
    net.start(config=f'connect = ["{endpoint}"]\n')
    near.wait_for("at/first", "1")
    far.wait_for(net.key("service/pricing/bridge-1"), "2")
    silent = dealers()
    silent.connect(endpoint)
    silent.send(HELLO)
    ticks = iter(range(1_000_000))

    def is_forgotten():
        number = next(ticks)
        far.publish("tick", f"{number}")
        near.wait_for("tick", f"{number}")
        while silent.poll(100):
            if b"tick" in silent.recv():
                return False
        return True

    wait_until(is_forgotten, "a node that says nothing is forgotten, as the bridge is not")
    near.publish("near", "1")
    far.wait_for("near", "1")
    assert far.lives()


@pytest.mark.nightly
def test_nodes_are_told_again_after_either_side_was_killed(net):
    far = net.node(connected=False)
    config = f'connect = ["{far.bind()}"]\n'
    net.start(config=config)
    near = net.node()
    for node in (near, far):
        node.wait_for(net.key("service/pricing/bridge-1"), "2")
    net.bridge.end(signal.SIGKILL)
    net.worker.end()
    net.live.wait_for_workers("pricing", workers=0)
    net.start(config=config)
    net.live.serve("--service", "pricing", "--exec", "cat")
    for node in (near, far):
        node.wait_for(net.key("service/pricing/bridge-1"), "2")
    near.publish("back", "1")
    far.wait_for("back", "1")


def test_what_is_forged_is_written_over_and_what_is_malformed_harms_nobody(net, dealers):
    net.start()
    node = net.node()
    key = net.key("service/pricing/bridge-1")
    node.wait_for(key, "2")
    node.publish(key, "forged")
    node.wait_for(key, "2")
    raw = dealers()
    raw.connect(net.endpoint)
    for frame in (*MALFORMED, bytes(100_000), b"\xaa\xa0\x02\x01\x01k\xff\xff\xff\xff"):
        raw.send(frame)
        raw.send_multipart([HELLO, frame])
        raw.send(PING)
        assert raw.recv() == b"\xaa\xa0\x04\x01"
    node.publish("a", "1")
    raw.send(b"\xaa\xa0\x02\x01\x01b\0\0\0\x011\0\0\0\0")
    assert raw.recv() == INVALID
    node.wait_for("b", "1")
    assert node.lives()
    assert net.bridge.running


@pytest.mark.nightly
def test_one_that_floods_neither_fills_the_memory_nor_holds_up_the_news_of_others(net, dealers):
    net.start()
    near, far = net.node(), net.node()
    far.wait_for(net.key("service/pricing/bridge-1"), "2")
    before = net.bridge.rss_bytes
    raw = dealers()
    raw.connect(net.endpoint)
    raw.send(HELLO)
    for number in range(60_000):
        key, value = b"flood %d" % number, bytes([33 + number % 90]) * 1_000
        raw.send(b"\xaa\xa0\x02\x01%c%b\0\0%c%c%b\0\0\0\0" % (len(key), key, 3, 232, value))
    near.publish("news", "1")
    far.wait_for("news", "1")
    raw.send(PING)
    while raw.recv() != b"\xaa\xa0\x04\x01":
        pass
    assert net.bridge.rss_bytes < before + 64 * 1024 * 1024
    assert near.lives()


@pytest.mark.nightly
def test_member_reads_what_a_foreign_node_says(net):
    net.start()
    node = net.node()
    node.publish("theirs", "a hint")
    net.live.wait_for_workers("zgossip.get")
    with Node(net.live.join("client")) as member:

        def heard():
            with contextlib.suppress(ServiceError):
                return member.request("zgossip.get", b"theirs").payload

        assert wait_until(heard, "the hint has arrived") == b"a hint"
