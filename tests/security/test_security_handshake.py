"""Who gets in at all."""

import asyncio
import socket

import pytest
import zmq
from nacl.public import PrivateKey

from braidmq import BraidError, ConfigError, Node, NotRegistered
from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.carrier.gate import Gate
from braidmq.carrier.ledger import NetLedger
from braidmq.carrier.listener import Listener
from braidmq.members import Member, Role
from braidmq.testing import TestNet
from braidmq.trust import certificate as certificates
from braidmq.trust.certificate import Claims
from braidmq.trust.joinfile import JoinFile, load
from braidmq.wire import control
from braidmq.zmtp.handshake import KeyPair
from tests.support.async_tests import until
from tests.support.peers import peers


def member_of_another_manifest(net, name, *, brokers=None):
    """A join file that the authority has signed and that no broker knows; `brokers` changes who it connects to."""
    known, secret = load(net.join("b1")), PrivateKey.generate()
    claims = Claims(
        net=known.net,
        serial=99,
        name=name,
        role=Role.NODE,
        keys=(bytes(secret.public_key),),
        calls=("*",),
        serves=("*",),
    )
    return JoinFile(
        secret_key=bytes(secret),
        certificate=certificates.issue(claims, net.authority._seed),
        authority_key=known.authority_key,
        brokers=known.brokers if brokers is None else brokers,
    )


async def test_an_unknown_key_is_refused_in_the_handshake():
    with peers() as peer:
        async with TestNet(1) as net:
            stranger = peer(net.brokers["b1"], secret=bytes(PrivateKey.generate()))
            assert await stranger.event() == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            assert net.counters["sessions"] == 0


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN"])
async def test_other_mechanisms_than_curve_are_refused(mechanism):
    with peers() as peer:
        async with TestNet(1) as net:
            net.node("n")
            stranger = peer(net.brokers["b1"], mechanism=mechanism)
            assert await stranger.event() not in (zmq.EVENT_HANDSHAKE_SUCCEEDED, 0)
            stranger.say(control.Hello("raw"))
            async with net.node("n") as node:
                await node.connected()
            assert net.counters["sessions"] == 1


async def test_a_registered_key_gets_in():
    """Without this one the refusals above would prove nothing."""
    with peers() as peer:
        async with TestNet(1) as net:
            net.node("n")
            member = peer(net.brokers["b1"], join=net.join("n"))
            assert await member.event() == zmq.EVENT_HANDSHAKE_SUCCEEDED
            assert (await member.hello()).member == "n"


async def test_a_node_that_no_broker_knows_says_so():
    async with TestNet(2) as net, Node(member_of_another_manifest(net, "ghost"), settings=net.settings) as node:
        with pytest.raises(NotRegistered, match=r"b1 .* not registered.*b2"):
            await node.connected()
        with pytest.raises(NotRegistered):
            await node.request("s")
        assert {broker.problem for broker in node.brokers} == {"the broker refuses this key: it is not registered"}


async def test_a_broker_with_another_key_is_not_believed_and_the_node_says_so():
    async with TestNet(1) as net:
        net.node("n")
        known = load(net.join("n"))
        claims = Claims(
            net=known.net,
            serial=99,
            name="b1",
            role=Role.BROKER,
            keys=(bytes(PrivateKey.generate().public_key),),
            endpoints=(net.brokers["b1"].endpoint,),
        )
        fake = certificates.issue(claims, net.authority._seed)
        join = JoinFile(
            secret_key=known.secret_key,
            certificate=known.certificate,
            authority_key=known.authority_key,
            brokers=(fake,),
        )
        async with Node(join, settings=net.settings) as node:
            await until(lambda: "does not hold this broker's key" in (node.brokers[0].problem or ""))
        assert net.counters["sessions"] == 0


async def test_what_listens_there_but_is_no_broker_is_told_apart_from_nothing():
    async with TestNet(1) as net, net.node("n") as node:
        await node.connected()
        broker = net.brokers["b1"]
        broker.kill()
        with socket.socket() as impostor:
            impostor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            impostor.bind(("127.0.0.1", int(broker.endpoint.rpartition(":")[2])))
            impostor.listen()
            impostor.setblocking(False)
            loop = asyncio.get_running_loop()
            accepted, _ = await loop.sock_accept(impostor)
            with accepted:
                await loop.sock_sendall(accepted, b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
                await until(lambda: "what answers there is no broker" in (node.brokers[0].problem or ""))


async def test_a_registry_that_fails_lets_nobody_in_and_is_told(monkeypatch, caplog):
    with peers() as peer:
        async with TestNet(1) as net:
            net.node("n")

            def fail(_principal):
                raise RuntimeError("the directory is broken")

            with monkeypatch.context() as broken:
                broken.setattr(NetLedger, "member", lambda _self, principal: fail(principal))
                member = peer(net.brokers["b1"], join=net.join("n"))
                assert await member.event() == zmq.EVENT_HANDSHAKE_FAILED_AUTH
                with pytest.raises(TimeoutError):
                    await member.heard(lambda _received: True, timeout=0.3)
            await until(lambda: "could not be judged" in caplog.text)
            assert "the directory is broken" in caplog.text
            again = peer(net.brokers["b1"], join=net.join("n"))
            assert await again.event() == zmq.EVENT_HANDSHAKE_SUCCEEDED
            await again.hello()


# -- the proof that a broker brings before it starts


def open_broker(join):
    broker = BrokerLoop(join)
    broker.open()
    broker.close()


@pytest.fixture
def join():
    with TestNet(1) as net:
        net.brokers["b1"].kill()
        yield net.join("b1")


def test_a_broker_that_refuses_strangers_starts(join):
    open_broker(join)


def test_a_broker_whose_gate_lets_everyone_in_does_not_start(join, monkeypatch):
    monkeypatch.setattr(Gate, "__call__", lambda _self, key: key.hex())
    with pytest.raises(BraidError, match="does not start: an unregistered key was let in"):
        open_broker(join)


def test_a_broker_whose_registry_knows_every_key_does_not_start(join, monkeypatch):
    monkeypatch.setattr(NetLedger, "member", lambda _self, _principal: Member("anybody", Role.NODE))
    with pytest.raises(BraidError, match="does not start: an unregistered key was let in"):
        open_broker(join)


def test_a_broker_that_bars_strangers_instead_of_refusing_them_does_not_start(join, monkeypatch):
    monkeypatch.setattr(NetLedger, "member", lambda _self, _principal: Member("anybody", Role.NODE))
    monkeypatch.setattr("braidmq.carrier.gate._never", lambda _principal: True)
    with pytest.raises(BraidError, match="not refused, but met"):
        open_broker(join)


def test_a_broker_that_does_not_hold_its_own_key_does_not_start(join, monkeypatch):
    """It refuses everybody, which proves nothing."""
    secret = bytes(PrivateKey.generate())
    monkeypatch.setattr("braidmq.carrier.broker_loop.KeyPair", lambda public, _secret: KeyPair(public, secret))
    with pytest.raises(BraidError, match="not refused, but met"):
        open_broker(join)


def test_a_broker_that_refuses_by_silence_does_not_start(join, monkeypatch):
    monkeypatch.setattr(Listener, "frames", lambda _self, _now: [])
    monkeypatch.setattr("braidmq.carrier.proof.ANSWER_S_MAX", 0.2)
    with pytest.raises(BraidError, match="not refused, but met: no answer"):
        open_broker(join)


def test_the_join_file_of_a_node_makes_no_broker():
    with TestNet(1) as net:
        net.node("n")
        with pytest.raises(ConfigError, match="add broker"):
            BrokerLoop(net.join("n"))


# -- connections that never finish their handshake


async def test_half_open_connections_keep_nobody_out():
    async with TestNet(1) as net:
        worker = net.node("worker")

        @worker.service("s")
        async def handler(_request):
            return b"done"

        address = ("127.0.0.1", int(net.brokers["b1"].endpoint.rpartition(":")[2]))
        connections = [await asyncio.to_thread(socket.create_connection, address) for _ in range(200)]
        try:
            for number, connection in enumerate(connections):
                if number % 2:
                    connection.send((b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE")[: number % 17])
            async with worker, net.node("client") as client:
                await net.served("s")
                for _ in range(20):
                    assert (await client.request("s")).payload == b"done"
        finally:
            for connection in connections:
                connection.close()
        assert net.brokers["b1"].state == "up"
