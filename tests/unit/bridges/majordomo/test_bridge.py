"""The Majordomo bridge in a net: real sockets before and behind it."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from braidmq.bridges.kinds import Plan, kind
from braidmq.bridges.majordomo import workers
from braidmq.bridges.majordomo.options import MajordomoOptions
from braidmq.errors import AttemptsExhausted, ConfigError, DeadlineExceeded, NoWorker, ServiceError
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.mdp_peers import (
    OLD_CLIENT,
    OLD_WORKER,
    RFC_CLIENT,
    RFC_WORKER,
    TOMO_CLIENT,
    TOMO_WORKER,
    Peers,
)

ANYWHERE = "tcp://127.0.0.1:*"


@pytest.fixture
def peers():
    made = Peers()
    yield made
    made.close()


@contextlib.asynccontextmanager
async def bridged(net, **options):
    """A running bridge of the member bridge-1."""
    for name in ("bridge-1", "client"):
        net.node(name)
    made = kind("majordomo").make(plan(net, **options))
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def plan(net, **options):
    return Plan(
        msgspec.convert({"bind": [ANYWHERE], **options}, MajordomoOptions),
        net.join("bridge-1"),
        net.authority.directory,
        net.settings,
    )


def place(bridge):
    return bridge.told().rpartition(" ")[2]


async def pricing(request):
    return b"%s for %s, %s" % (request.payload, request.headers["via"].encode(), request.sender.encode())


async def test_clients_of_all_dialects_call_a_service_of_the_net(peers):
    async with TestNet() as net, bridged(net) as bridge:
        worker = net.node("worker")
        worker.service("pricing")(pricing)
        await worker.start()
        await net.served("pricing")
        answer = b"14 for majordomo, bridge-1"
        for front, reply in (
            (OLD_CLIENT, [*OLD_CLIENT, b"pricing", answer]),
            (RFC_CLIENT, [b"MDPC02", b"\x03", b"pricing", answer]),
            (TOMO_CLIENT, [b"", b"MDPC02", b"\x04", answer]),
        ):
            client = peers.peer(place(bridge))
            client.say(*front, b"pricing", b"14")
            assert await client.hear() == reply


@pytest.mark.parametrize(
    ("front", "final"),
    [(OLD_WORKER, b"\x03"), (TOMO_WORKER, b"\x04"), (RFC_WORKER, b"\x04")],
    ids=["0.1", "tomo", "RFC"],
)
async def test_worker_serves_a_node_of_the_net(peers, front, final):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        worker = peers.peer(place(bridge))
        worker.say(*front, b"\x01", b"mdp.echo")
        await client.wait_for_services("mdp.echo", timeout=10)
        calls = [asyncio.create_task(client.request("mdp.echo", b"%d" % number)) for number in range(3)]
        for _ in calls:
            token, body = await worker.hear_request(front)
            worker.say(*front, final, token, b"", b"answer to " + body[0])
        replies = await asyncio.gather(*calls)
        assert sorted(reply.payload for reply in replies) == [b"answer to 0", b"answer to 1", b"answer to 2"]
        assert {reply.sender for reply in replies} == {"bridge-1"}


async def test_foreign_client_and_foreign_worker_meet(peers):
    async with TestNet() as net, bridged(net) as bridge:
        worker, client = peers.peer(place(bridge)), peers.peer(place(bridge))
        worker.say(*RFC_WORKER, b"\x01", b"mdp.echo")
        client.say(*OLD_CLIENT, b"mmi.service", b"mdp.echo")
        while (await client.hear())[-1] != b"200":
            client.say(*OLD_CLIENT, b"mmi.service", b"mdp.echo")
        await net.served("mdp.echo")
        client.say(*OLD_CLIENT, b"mdp.echo", b"14")
        token, body = await worker.hear_request(RFC_WORKER)
        worker.say(*RFC_WORKER, b"\x04", token, b"", *body)
        assert await client.hear() == [*OLD_CLIENT, b"mdp.echo", b"14"]


async def test_mmi_tells_what_brokers_report(peers):
    async with TestNet() as net, bridged(net) as bridge:
        client = peers.peer(place(bridge))

        async def status():
            client.say(*OLD_CLIENT, b"mmi.service", b"pricing")
            return (await client.hear())[-1]

        assert await status() == b"404"
        worker = net.node("worker")
        worker.service("pricing")(pricing)
        await worker.start()
        async with asyncio.timeout(10):
            while await status() != b"200":
                pass
            worker.kill()
            while await status() != b"404":
                pass


# -- ends of workers


async def test_worker_that_is_killed_with_a_request_costs_the_caller_a_flag(peers):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        first, second = peers.peer(place(bridge)), peers.peer(place(bridge))
        for worker in (first, second):
            worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
        await net.served("mdp.echo")
        call = asyncio.create_task(client.request("mdp.echo", b"14"))
        await until(lambda: first.heard() or second.heard())
        victim, heir = (first, second) if first.heard() else (second, first)
        await victim.hear_request()
        victim.close()
        token, body = await heir.hear_request()
        heir.say(*OLD_WORKER, b"\x03", token, b"", *body)
        reply = await call
        assert (reply.payload, reply.possible_duplicate) == (b"14", True)


async def test_caller_of_a_service_that_refuses_duplicates_hears_so(peers):
    services = {"mdp.strict": {"duplicates": "refuse"}}
    async with TestNet() as net, bridged(net, services=services) as bridge, net.node("client") as client:
        first, second = peers.peer(place(bridge)), peers.peer(place(bridge))
        for worker in (first, second):
            worker.say(*OLD_WORKER, b"\x01", b"mdp.strict")
        await net.served("mdp.strict")
        call = asyncio.create_task(client.request("mdp.strict", b"14"))
        await until(lambda: first.heard() or second.heard())
        (first if first.heard() else second).close()
        with pytest.raises(ServiceError, match="POSSIBLE_DUPLICATE"):
            await call


@pytest.mark.nightly
async def test_last_worker_that_leaves_takes_its_service_along(peers):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        worker = peers.peer(place(bridge))
        worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
        await client.wait_for_services("mdp.echo", timeout=10)
        call = asyncio.create_task(client.request("mdp.echo", b"14", attempts=1))
        await worker.hear_request()
        worker.say(*OLD_WORKER, b"\x05")
        with pytest.raises(AttemptsExhausted):
            await call
        await until(lambda: "mdp.echo" not in client.services_available())
        with pytest.raises(NoWorker):
            await client.request("mdp.echo", b"15")
        worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
        await client.wait_for_services("mdp.echo", timeout=10)


async def test_answer_that_comes_too_late_is_nobodys_and_the_worker_serves_on(peers):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        worker = peers.peer(place(bridge))
        worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
        await client.wait_for_services("mdp.echo", timeout=10)
        with pytest.raises(DeadlineExceeded):
            await client.request("mdp.echo", b"slow", timeout=0.2, attempts=1)
        late, _ = await worker.hear_request()
        await until(lambda: bridge._core.idle)  # it has given the request up, too
        call = asyncio.create_task(client.request("mdp.echo", b"next"))
        worker.say(*OLD_WORKER, b"\x03", late, b"", b"too late")
        token, body = await worker.hear_request()
        assert body == [b"next"]
        worker.say(*OLD_WORKER, b"\x03", token, b"", b"answer")
        assert (await call).payload == b"answer"
        assert bridge._core.counters["late"] == 1


# -- what clients do


async def test_client_that_closes_takes_its_call_back(peers):
    cancelled = asyncio.Event()

    async def slow(request):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with TestNet() as net, bridged(net) as bridge:
        worker = net.node("worker")
        worker.service("slow")(slow)
        await worker.start()
        await net.served("slow")
        client = peers.peer(place(bridge))
        client.say(*OLD_CLIENT, b"slow", b"14")
        await until(lambda: net.counters["requests"] > 0)
        client.close()
        async with asyncio.timeout(10):
            await cancelled.wait()


async def test_calls_outlive_the_death_of_a_broker(peers):
    async with TestNet() as net, bridged(net) as bridge:
        worker = net.node("worker")
        worker.service("pricing")(pricing)
        await worker.start()
        await net.served("pricing")
        client = peers.peer(place(bridge))
        for number in range(40):
            client.say(*OLD_CLIENT, b"pricing", b"%d" % number)
            if number == 20:
                net.brokers["b1"].kill()
        heard = [await client.hear() for _ in range(40)]
        assert sorted(int(frames[-1].split()[0]) for frames in heard) == list(range(40))
        assert not client.heard()


# -- users


async def test_users_are_members_of_their_own(peers):
    async with TestNet() as net:
        net.node("shop-1", call=["pricing"], serve=[])
        net.node("poor", call=["other"], serve=["mdp.*"])
        worker = net.node("worker")
        worker.service("pricing")(pricing)
        await worker.start()
        await net.served("pricing")
        users = {
            "shop": {"password": "one", "join": "shop-1.braid"},
            "poor": {"password": "two", "join": "poor.braid"},
            "guest": {"password": "three"},
        }
        services = {"*": {"error_frames": True}}
        async with bridged(net, users=users, services=services) as bridge:
            for user, password, answer in (
                (b"shop", b"one", b"14 for majordomo:shop, shop-1"),
                (b"guest", b"three", b"14 for majordomo:guest, bridge-1"),
            ):
                client = peers.peer(place(bridge), user=user, password=password)
                client.say(*OLD_CLIENT, b"pricing", b"14")
                assert (await client.hear())[-1] == answer
            poor = peers.peer(place(bridge), user=b"poor", password=b"two")
            poor.say(*OLD_CLIENT, b"pricing", b"14")
            assert (await poor.hear())[3:5] == [b"$braidmq", b"DENIED"]
            poor.say(*OLD_CLIENT, b"mmi.service", b"pricing")
            assert (await poor.hear())[-1] == b"404"
            stranger = peers.peer(place(bridge), user=b"shop", password=b"two")
            stranger.say(*OLD_CLIENT, b"pricing", b"14")
            poor.say(*OLD_WORKER, b"\x01", b"mdp.echo")
            await net.served("mdp.echo")
            assert not stranger.heard()


async def test_service_that_the_bridge_may_not_provide_is_not_offered(peers, monkeypatch):
    monkeypatch.setattr(workers, "DENIED_S", 0.1)
    async with TestNet() as net:
        net.node("bridge-1", serve=["mdp.*"])
        made = kind("majordomo").make(plan(net))
        await made.start()
        worker = peers.peer(place(made))
        worker.say(*OLD_WORKER, b"\x01", b"pricing")
        assert await worker.hear() == [*OLD_WORKER, b"\x05"]
        assert "pricing" not in net.counters
        await made.close()


# -- its own end


async def test_bridge_that_drains_answers_what_it_has_and_tells_workers(peers):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        worker, other = peers.peer(place(bridge)), peers.peer(place(bridge))
        worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
        await client.wait_for_services("mdp.echo", timeout=10)
        call = asyncio.create_task(client.request("mdp.echo", b"14"))
        token, _ = await worker.hear_request()
        other.say(*OLD_CLIENT, b"pricing", b"1")
        draining = asyncio.create_task(bridge.drain())
        await until(lambda: "mdp.echo" not in client.services_available())
        worker.say(*OLD_WORKER, b"\x03", token, b"", b"42")
        assert (await call).payload == b"42"
        await draining
        while (frames := await worker.hear())[-1] == b"\x04":
            pass
        assert frames == [*OLD_WORKER, b"\x05"]


async def test_peers_find_a_bridge_again_that_has_restarted(peers):
    async with TestNet() as net, net.node("client") as client:
        async with bridged(net) as bridge:
            worker = peers.peer(place(bridge))
            worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
            await client.wait_for_services("mdp.echo", timeout=10)
            where = place(bridge)
        await until(lambda: "mdp.echo" not in client.services_available())
        async with bridged(net, bind=[where]):
            while worker.heard():
                worker.take()
            worker.say(*OLD_WORKER, b"\x04")
            assert await worker.hear() == [*OLD_WORKER, b"\x05"]
            worker.say(*OLD_WORKER, b"\x01", b"mdp.echo")
            await client.wait_for_services("mdp.echo", timeout=10)


async def test_place_that_is_taken_leaves_nothing_behind():
    async with TestNet() as net, bridged(net) as bridge:
        other = kind("majordomo").make(plan(net, bind=[place(bridge)]))
        with pytest.raises(ConfigError, match="Address already in use"):
            await other.start()


async def test_bridge_does_not_listen_for_other_machines_by_mistake():
    async with TestNet() as net:
        net.node("bridge-1")
        with pytest.raises(ConfigError, match="insecure_bind"):
            kind("majordomo").make(plan(net, bind=["tcp://0.0.0.0:*"]))
        users = {"shop": {"password": "x"}}
        with pytest.raises(ConfigError, match="PLAIN hides no password"):
            kind("majordomo").make(plan(net, bind=["tcp://0.0.0.0:*"], users=users))
        made = kind("majordomo").make(plan(net, bind=["tcp://0.0.0.0:*"], insecure_bind=True))
        await made.start()
        await made.close()


async def test_join_file_of_a_user_counts_from_the_configuration():
    async with TestNet() as net:
        net.node("bridge-1")
        with pytest.raises(ConfigError, match=str(Path(net.authority.directory) / "nothing.braid")):
            kind("majordomo").make(plan(net, users={"shop": {"password": "x", "join": "nothing.braid"}}))
