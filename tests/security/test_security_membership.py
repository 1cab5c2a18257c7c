"""What a registered broker that has turned bad, or a node, may not do to the membership."""

from contextlib import asynccontextmanager

import pytest

from braidmq import Settings
from braidmq.testing import TestNet
from braidmq.trust.joinfile import load
from braidmq.wire import control
from braidmq.wire.gossip import Ack, Gossip, Ping, Rumor, Sync
from tests.support.async_tests import until
from tests.support.peers import peers


@asynccontextmanager
async def net_with_a_bad_broker():
    """A net of b1, b2 and b3, and a peer with the key of b2 in b2's place; a client must go on all the time."""
    with peers() as peer:
        async with TestNet(3, settings=Settings.test(exchange_timeout_s=5.0)) as net:
            await until(lambda: view(net, "b1") == {"b1": "alive", "b2": "alive", "b3": "alive"})
            worker = net.node("worker")

            @worker.service("s")
            async def handler(request):
                return request.payload

            async with worker, net.node("client") as client:
                await net.served("s")
                net.brokers["b2"].kill()
                bad = peer(net.brokers["b1"], join=net.brokers["b2"].join)
                await bad.hello()
                yield net, bad
                assert (await client.request("s", b"still", timeout=10.0)).payload == b"still"


def view(net, name):
    """How a broker sees the others, without those it never met."""
    return {row.name: row.state for row in net.brokers[name].report().brokers if row.state != "unknown"}


async def answered(peer, number):
    """Wait until the broker has taken in all that the peer said before."""
    peer.say(Ping(number))
    await peer.heard(lambda got: isinstance(got, Ack) and got.number == number)


async def test_incarnation_far_in_the_future_is_refused_and_said_once(caplog):
    async with net_with_a_bad_broker() as (net, bad):
        for number in range(20):
            bad.say(Gossip([Rumor("b3", 2**40 + number, "dead"), Rumor("b1", 2**41, "dead")]))
        await answered(bad, 1)
        assert view(net, "b1")["b3"] == "alive"
        assert [row.incarnation < 1_000 for row in net.brokers["b1"].report().brokers] == [True] * 3
    lines = [record.getMessage() for record in caplog.records if "incarnation" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("b2 gives ")


@pytest.mark.nightly
async def test_false_accusation_is_refuted(caplog):
    async with net_with_a_bad_broker() as (net, bad):
        bad.say(Gossip([Rumor("b3", 0, "dead")]))
        await answered(bad, 1)
        await until(lambda: view(net, "b1")["b3"] == "alive")
        assert next(row for row in net.brokers["b3"].report().brokers if row.name == "b3").incarnation > 0


async def test_broker_that_nobody_registered_is_refused_and_said_once(caplog):
    async with net_with_a_bad_broker() as (net, bad):
        for _ in range(20):
            bad.say(Gossip([Rumor("intruder", 0, "alive", "", b"no certificate of this net")]))
        await answered(bad, 1)
        assert "intruder" not in view(net, "b1")
    lines = [record.getMessage() for record in caplog.records if "certificate" in record.getMessage()]
    assert len([line for line in lines if "intruder" in line]) == 1


async def test_certificate_of_one_broker_does_not_stand_for_another(caplog):
    async with net_with_a_bad_broker() as (net, bad):
        stolen = load(net.brokers["b3"].join).certificate.blob
        bad.say(Gossip([Rumor("b4", 0, "alive", "", stolen)]))
        await answered(bad, 1)
        assert "b4" not in view(net, "b1")


async def test_ten_thousand_members_are_not_kept(caplog):
    async with net_with_a_bad_broker() as (net, bad):
        for state in ("alive", "suspect", "leaving", "dead"):
            bad.say(Sync([Rumor(f"ghost{number}", number % 3, state) for number in range(10_000)]))
        await answered(bad, 1)
        assert view(net, "b1").keys() == {"b1", "b2", "b3"}


async def test_node_may_not_gossip():
    with peers() as peer:
        async with TestNet(2, settings=Settings.test()) as net:
            await until(lambda: view(net, "b1") == {"b1": "alive", "b2": "alive"})
            net.node("evil")
            evil = peer(net.brokers["b1"], join=net.join("evil"))
            await evil.hello()
            evil.say(Gossip([Rumor("b2", 5, "dead")]))
            evil.say(Ping(1))
            evil.say(Sync([Rumor("b2", 5, "dead")], answer=True))
            await until(lambda: net.brokers["b1"].counters["malformed"] >= 3)
            assert view(net, "b1") == {"b1": "alive", "b2": "alive"}
            evil.say(control.Status())
            assert (await evil.control(control.Report)).denied
