"""What a registered member may not do, even though it got in."""

import asyncio
import contextlib
import os
from contextlib import asynccontextmanager

import pytest
import zmq

from braidmq import NoWorker, Settings
from braidmq.testing import TestNet
from braidmq.wire import control
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    PREFIX,
    PREFIX_BYTES,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Envelope,
    Outcome,
    Progress,
    Reason,
    encode,
)
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.peers import new_route, now_ms, peers

ID = bytes(range(16))
OTHER_ID = bytes(range(1, 17))


@asynccontextmanager
async def under_attack(*, evil=None):
    """A net with a worker and a client that must go on; yields the net, what makes peers, and the requests seen.

    At the end the broker must live, and the client's calls must have been answered all the time.
    """
    seen = []
    with peers() as peer:
        async with TestNet(1, settings=Settings.test(exchange_timeout_s=2.0)) as net:
            net.node("evil", **(evil or {}))
            worker = net.node("worker")

            @worker.service("s")
            async def handler(request):
                seen.append(request)
                return b"re:" + request.payload

            async with worker, net.node("client") as client:
                await net.served("s")
                answered, stop = [], asyncio.Event()

                async def others():
                    while not stop.is_set():
                        payload = b"good %d" % len(answered)
                        answered.append((await client.request("s", payload)).payload == b"re:" + payload)

                load = asyncio.ensure_future(others())
                yield net, lambda **options: peer(net.brokers["b1"], join=net.join("evil"), **options), seen
                before = len(answered)
                await until(lambda: len(answered) > before + 10 or load.done())
                stop.set()
                await load
                assert all(answered)
                assert net.brokers["b1"].state == "up"
                assert [broker.state for broker in client.brokers] == ["up"]


async def bystander(net):
    """Wait until the broker has taken in all that was sent before: it reads in turn and says so."""
    async with net.node("watcher", observe=True) as node:
        await node.connected()
        assert await node.observe()


def request(peer, payload=b"evil", *, id_=ID, tag=1, service=b"s", **fields):
    peer.exchange(REQUEST, id_, tag=tag, time_ms=5_000, service=service, payload=payload, **fields)


def evil_ones(seen):
    return [each for each in seen if not each.payload.startswith(b"good")]


# -- forged names


async def test_the_handler_sees_the_true_sender_whatever_the_message_says():
    async with under_attack() as (_net, evil, seen):
        peer = evil()
        await peer.hello()
        request(peer, sender=b"client")
        reply = await peer.answer(REPLY, ID)
        assert (reply.payload, reply.sender, reply.receiver) == (b"re:evil", b"worker", b"evil")
        assert [each.sender for each in evil_ones(seen)] == ["evil"]


async def test_the_id_of_anothers_request_gets_nothing_of_its_reply():
    """The worker's memory is kept per sender: a replay under another key is another request."""
    async with under_attack() as (net, evil, seen):
        async with net.node("victim") as victim:
            first = await victim.request("s", b"secret")
            peer = evil()
            await peer.hello()
            request(peer, id_=first.original_id, sender=b"victim")
            reply = await peer.answer(REPLY, first.original_id)
        assert reply.payload == b"re:evil"
        assert [each.sender for each in evil_ones(seen)] == ["victim", "evil"]


async def test_the_sender_of_a_reply_is_the_true_worker():
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        peer.say(control.Ready("t", 10))
        async with net.node("victim") as victim:
            await net.served("t")
            call = asyncio.ensure_future(victim.request("t"))
            got = await peer.heard(lambda each: isinstance(each, Envelope) and each.command == REQUEST)
            assert (got.sender, got.receiver) == (b"victim", b"evil")
            peer.exchange(REPLY, got.id, tag=got.tag, sender=b"worker", receiver=b"client", payload=b"x")
            reply = await call
        assert (reply.sender, reply.receiver, reply.payload) == ("evil", "victim", b"x")


# -- rights


async def test_ready_for_a_service_that_is_not_allowed_brings_no_requests():
    async with under_attack(evil={"serve": ["mine.*"]}) as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        denied = net.counters["denied"]
        for service in ("s", "other", "mine", "*", "mine.*x y"):
            peer.say(control.Ready(service, 1_000))
        peer.say(control.Ready("mine.a", 1))
        await net.served("mine.a")
        assert net.counters["denied"] == denied + 5
        async with net.node("victim") as victim:
            with pytest.raises(NoWorker):
                await victim.request("other")
        assert [node.serves for node in net.brokers["b1"].report().nodes if node.name == "evil"] == [["mine.a"]]


async def test_a_request_for_a_service_that_is_not_allowed_is_rejected():
    async with under_attack(evil={"call": ["mine"]}) as (_net, evil, seen):
        peer = evil()
        await peer.hello()
        for tag, service in enumerate((b"s", b"other", b"", b"\xff\xfe", b"s" * 200)):
            request(peer, tag=tag, service=service)
            assert (await peer.answer(REJECT, ID)).code == Reason.DENIED
        assert evil_ones(seen) == []


async def test_status_is_denied_to_who_may_not_observe():
    async with under_attack() as (_net, evil, _seen):
        peer = evil()
        await peer.hello()
        peer.say(control.Status())
        assert await peer.control(control.Report) == control.Report(broker="b1", denied=True)


# -- answers to what was not asked


async def test_answers_to_requests_of_others_go_nowhere():
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        before = net.counters["unmatched"]
        for tag in range(200):
            for command in (REPLY, WORKING, REJECT, LOST):
                peer.exchange(command, ID, tag=tag, payload=b"forged")
        await until(lambda: net.counters["unmatched"] == before + 800)


async def test_a_tag_with_another_id_a_second_and_a_late_reply_go_nowhere():
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        peer.say(control.Ready("t", 10))
        async with net.node("victim") as victim:
            await net.served("t")
            call = asyncio.ensure_future(victim.request("t"))
            got = await peer.heard(lambda each: isinstance(each, Envelope) and each.command == REQUEST)
            unmatched = net.counters["unmatched"]
            peer.exchange(REPLY, OTHER_ID, tag=got.tag, payload=b"another id")
            peer.exchange(REPLY, got.id, tag=got.tag + 1, payload=b"another tag")
            await until(lambda: net.counters["unmatched"] == unmatched + 2)
            assert not call.done()
            peer.exchange(REPLY, got.id, tag=got.tag, payload=b"first")
            peer.exchange(REPLY, got.id, tag=got.tag, payload=b"second")
            peer.exchange(LOST, got.id, tag=got.tag)
            assert (await call).payload == b"first"
            await until(lambda: net.counters["unmatched"] == unmatched + 4)

            late = asyncio.ensure_future(victim.request("t", timeout=0.2))
            got = await peer.heard(lambda each: isinstance(each, Envelope) and each.command == REQUEST)
            with pytest.raises(TimeoutError):
                await late
            await peer.answer(CANCEL, got.id)
            peer.exchange(REPLY, got.id, tag=got.tag, payload=b"late")
            peer.exchange(REPLY, got.id, tag=got.tag, payload=b"later")
            await until(lambda: net.counters["unmatched"] == unmatched + 5)
            assert net.brokers["b1"].report().services


async def test_a_worker_that_answers_with_nonsense_fails_only_its_own_callers():
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        peer.say(control.Ready("t", 10))
        async with net.node("victim") as victim:
            await net.served("t")
            call = asyncio.ensure_future(victim.request("t"))
            got = await peer.heard(lambda each: isinstance(each, Envelope) and each.command == REQUEST)
            peer.exchange(REPLY, got.id, tag=got.tag, code=Outcome.ERROR, payload=b"\xc1 no msgpack")
            with pytest.raises(Exception, match=r"INTERNAL.*malformed"):
                await call
            call = asyncio.ensure_future(victim.request("t"))
            got = await peer.heard(lambda each: isinstance(each, Envelope) and each.command == REQUEST)
            peer.exchange(WORKING, got.id, tag=got.tag, code=200, payload=b"?" * 1_000)
            peer.exchange(REPLY, got.id, tag=got.tag, code=77, payload=b"\xc1")
            with pytest.raises(Exception, match=r"INTERNAL.*malformed"):
                await call


async def test_requests_and_answers_of_brokers_are_not_believed_from_a_node():
    """Messages that only a broker sends, and the other way round: they change nothing."""
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        for message in (
            control.Welcome("b1", "evil", 1, 1),
            control.Services(["s", "t"]),
            control.Peers([control.Peer(b"no certificate", connected=True)]),
            control.Demand("s", 1_000_000),
            control.Report(broker="b1"),
            control.Goodbye("noted"),
            control.Goodbye("refused", "go away"),
        ):
            peer.say(message)
        await bystander(net)


# -- routing ids, with which peers of ZeroMQ name themselves: here they name nobody


@cases(
    "route",
    [
        b"\0" + bytes(range(1, 16)),
        b"\0\0\0\0\1",
        b"\1\2\3\4\5",
        b"x",
        b"x" * 17,
        b"x" * 255,
        bytes(16),
        b"\1" + (1).to_bytes(15),
        b"",
    ],
    ids=[
        "from zero",
        "libzmq's own",
        "5 bytes",
        "1 byte",
        "17 bytes",
        "255 bytes",
        "zeros",
        "the broker's own",
        "none",
    ],
    one_in=2,
)
async def test_whatever_a_peer_calls_itself_it_gets_its_own_answers_and_nobody_elses(route):
    async with under_attack() as (net, evil, seen):
        peer = evil(route=route)
        assert await peer.event() == zmq.EVENT_HANDSHAKE_SUCCEEDED
        await peer.hello()
        request(peer)
        assert (await peer.answer(REPLY, ID)).receiver == b"evil"
        await bystander(net)
        assert [each.sender for each in evil_ones(seen)] == ["evil"]


async def test_many_short_routing_ids_hit_nobody():
    async with under_attack() as (net, evil, _seen):
        for _ in range(50):
            evil(route=b"\0" + os.urandom(4)).say(control.Hello())
        evil(route=b"").say(control.Hello())
        await bystander(net)


async def test_a_routing_id_that_is_in_use_takes_nothing_from_its_owner():
    async with under_attack() as (net, evil, seen):
        net.node("victim")
        route = new_route()
        with peers() as peer:
            victim = peer(net.brokers["b1"], join=net.join("victim"), route=route)
            await victim.hello()
            thief = evil(route=route)
            await thief.hello()
            request(thief)
            assert (await thief.answer(REPLY, ID)).receiver == b"evil"
            for number in range(20):
                request(victim, b"mine", id_=OTHER_ID, tag=number)
                assert (await victim.answer(REPLY, OTHER_ID)).receiver == b"victim"
            with pytest.raises(TimeoutError):
                await thief.heard(lambda each: isinstance(each, Envelope), timeout=0.3)
        assert {each.sender for each in evil_ones(seen)} == {"victim", "evil"}


# -- what is no message


def frames():
    whole = encode(Envelope(REQUEST, ID, sent_ms=now_ms(), tag=9, time_ms=5_000, service=b"s", payload=b"cut"))
    longer = bytearray(whole)
    longer[:4] = (len(whole) + 1).to_bytes(4)
    hello = control.encode_control(control.Hello("raw"), 0)
    version = bytearray(whole)
    version[4] = 0xF0
    lengths = bytearray(whole)
    lengths[PREFIX.size - 8 : PREFIX.size - 5] = b"\xff\xff\xff"
    return {
        "empty": [b""],
        "one byte": [b"x"],
        "zeros": [bytes(1_000)],
        "0xff": [b"\xff" * 1_000],
        "random": [os.urandom(1_000)],
        "a length of 0": [bytes(4) + whole[4:]],
        "a length of 11": [(11).to_bytes(4) + whole[4:]],
        "a length beyond the end": [bytes(longer)],
        "a huge length": [b"\xff\xff\xff\xff" + whole[4:]],
        "cut off": [whole[:-1]],
        "only a prefix of a prefix": [whole[: PREFIX_BYTES - 1]],
        "a whole message, then garbage": [hello + b"garbage"],
        "a hello without a body": [hello[:12]],
        "wrong lengths of strings": [bytes(lengths)],
        "another major version": [bytes(version)],
        "every command": [
            b"".join(
                (12 + len(body)).to_bytes(4) + bytes((0x10, command, 0xFF, 0xFF)) + bytes(4) + body
                for command in range(256)
                for body in (b"", b"\xc1", b"\x80", b"\xff" * 60)
            )
        ],
    }


@pytest.mark.parametrize("name", frames())
@cases("greeted", [True, False], one_in=2)
async def test_frames_that_are_no_messages_harm_nobody(name, greeted):
    async with under_attack() as (net, evil, seen):
        peer = evil()
        assert await peer.event() == zmq.EVENT_HANDSHAKE_SUCCEEDED
        if greeted:
            await peer.hello()
        for _ in range(20):  # so much of it has its key cut off
            peer.send(*frames()[name])
        await bystander(net)
        assert evil_ones(seen) == []


@pytest.mark.parametrize("frames", [[b"part"] * 5, [b""] * 3_000, [b"", b"behind"]], ids=["five", "many", "empty"])
async def test_a_message_of_several_frames_cuts_its_connections_and_bars_its_key(frames):
    async with under_attack() as (net, evil, _seen):
        peer, other = evil(), evil()
        await peer.hello()
        await other.hello()
        peer.send(*frames)
        for each in (peer, other):
            events = [await each.event(timeout=20.0), await each.event(timeout=20.0)]
            assert zmq.EVENT_DISCONNECTED in events
        assert net.counters["barred"] == 1
        late = evil()
        assert await late.event() != zmq.EVENT_HANDSHAKE_SUCCEEDED


async def test_a_flood_cuts_its_connections_and_bars_its_key():
    async with under_attack() as (net, evil, _seen):
        heartbeats = control.encode_control(control.Heartbeat(), now_ms()) * 5_000
        flooding = [evil() for _ in range(4)]
        for peer in flooding:
            await peer.hello()

        def barred():
            for peer in flooding:
                with contextlib.suppress(zmq.Again):
                    for _ in range(50):
                        peer.send(heartbeats)
            return net.counters["barred"]

        await until(barred)


async def test_a_malformed_message_ends_its_bundle_and_what_stands_before_it_counts():
    async with under_attack() as (net, evil, seen):
        peer = evil()
        await peer.hello()
        before = net.counters["malformed"]
        good = encode(Envelope(REQUEST, ID, sent_ms=now_ms(), tag=1, time_ms=5_000, service=b"s", payload=b"before"))
        after = encode(
            Envelope(REQUEST, OTHER_ID, sent_ms=now_ms(), tag=2, time_ms=5_000, service=b"s", payload=b"after")
        )
        peer.send(good + b"\0\0\0\1" + after)
        assert (await peer.answer(REPLY, ID)).payload == b"re:before"
        await bystander(net)
        assert net.counters["malformed"] == before + 1
        assert [each.payload for each in evil_ones(seen)] == [b"before"]


async def test_an_oversized_frame_ends_its_own_connection_only():
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        assert await peer.event() == zmq.EVENT_HANDSHAKE_SUCCEEDED
        await peer.hello()
        peer.send(bytes(net.settings.payload_bytes_max * 2))
        assert await peer.event() == zmq.EVENT_DISCONNECTED
        await until(lambda: "evil" not in {node.name for node in net.brokers["b1"].report().nodes})


async def test_a_payload_above_the_limit_is_rejected_and_not_run():
    async with under_attack() as (net, evil, seen):
        peer = evil()
        await peer.hello()
        request(peer, bytes(net.settings.payload_bytes_max + 1))
        assert (await peer.answer(REJECT, ID)).code == Reason.TOO_LARGE
        assert evil_ones(seen) == []


async def test_a_request_without_hello_is_told_so_once_and_never_runs():
    async with under_attack() as (net, evil, seen):
        peer = evil()
        for tag in range(10):
            request(peer, tag=tag)
        goodbye = await peer.control(control.Goodbye)
        assert goodbye.reason == "no-session"
        with pytest.raises(TimeoutError):
            await peer.heard(lambda _each: True, timeout=0.2)
        await bystander(net)
        assert evil_ones(seen) == []
        await peer.hello()
        request(peer)
        assert (await peer.answer(REPLY, ID)).payload == b"re:evil"


async def test_a_tag_that_is_in_use_is_not_taken_twice():
    async with under_attack() as (net, evil, _seen):
        worker = evil()
        await worker.hello()
        worker.say(control.Ready("t", 10))
        await net.served("t")
        net.node("other")
        with peers() as peer:
            client = peer(net.brokers["b1"], join=net.join("other"))
            await client.hello()
            before = net.counters["malformed"]
            request(client, service=b"t", tag=5)
            request(client, service=b"t", tag=5, id_=OTHER_ID)
            await until(lambda: net.counters["malformed"] == before + 1)
            got = await worker.heard(lambda each: isinstance(each, Envelope) and each.command == REQUEST)
            worker.exchange(WORKING, got.id, tag=got.tag, code=Progress.RUNNING)
            worker.exchange(REPLY, got.id, tag=got.tag, payload=b"x")
            assert (await client.answer(REPLY, ID)).tag == 5


async def test_cancels_and_tags_of_others_touch_nothing():
    async with under_attack() as (net, evil, _seen):
        peer = evil()
        await peer.hello()
        cancelled = net.counters["cancelled"]
        for tag in range(500):
            peer.exchange(CANCEL, ID, tag=tag, sender=b"client")
        await bystander(net)
        assert net.counters["cancelled"] == cancelled


async def test_a_request_that_has_no_time_left_is_expired():
    async with under_attack() as (_net, evil, seen):
        peer = evil()
        await peer.hello()
        peer.exchange(REQUEST, ID, tag=1, time_ms=0, service=b"s")
        assert (await peer.answer(REJECT, ID)).code == Reason.EXPIRED
        assert evil_ones(seen) == []


async def test_one_key_cannot_hold_more_connections_than_allowed():
    async with under_attack() as (net, evil, _seen):
        allowed = net.settings.connections_per_key_max
        made = [evil() for _ in range(allowed)]
        for peer in made:
            await peer.hello()
        one_more = evil()
        one_more.say(control.Hello())
        assert (await one_more.control(control.Goodbye)).reason == "refused"
        assert net.counters["sessions_refused"] == 1
        made[0].close()
        await until(lambda: len(net.brokers["b1"].report().nodes) == allowed + 1)


async def test_headers_that_are_malformed_are_an_error_and_not_a_crash():
    async with under_attack() as (_net, evil, seen):
        peer = evil()
        await peer.hello()
        request(peer, extension=b"\1\xff\xff\0")
        assert (await peer.answer(REPLY, ID)).code == Outcome.ERROR
        assert evil_ones(seen) == []
