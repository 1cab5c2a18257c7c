"""The Malamute bridge in a net: real sockets before and behind it, and a client as easily killed as the real one."""

import asyncio
import contextlib
import os
import random
import sys

import msgspec
import pytest
import zmq

from braidmq.bridges.kinds import Plan, kind
from braidmq.bridges.malamute import limits
from braidmq.bridges.malamute.options import MalamuteOptions
from braidmq.errors import ConfigError, NoWorker
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.mlm_client import MlmClient

ANYWHERE = "tcp://127.0.0.1:*"


@pytest.fixture
def programs():
    """Makes programs of Malamute, which are cut off after the test."""
    made = []
    context = zmq.Context()

    def make(bridge, address=b"shop", **options):
        made.append(MlmClient(place(bridge), address, context=context, **options))
        return made[-1]

    yield make
    for program in made:
        program.cut()
    context.term()


def plan(net, **options):
    return Plan(
        msgspec.convert({"bind": [ANYWHERE], **options}, MalamuteOptions),
        net.join("bridge-1"),
        net.authority.directory,
        net.settings,
    )


@contextlib.asynccontextmanager
async def bridged(net, *, rights=None, **options):
    """A running bridge of the member bridge-1."""
    net.node("bridge-1", **(rights or {}))
    net.node("client")
    made = kind("malamute").make(plan(net, **options))
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def place(bridge):
    return bridge.told().rpartition(" ")[2]


async def hear(program, others=()):
    """Wait for the next message of a program; the others go on meanwhile."""

    def come():
        for each in others:
            each.step()
        return program.step()

    await until(come)
    return program.inbox.popleft()


async def stepped(program, condition):
    await until(lambda: program.step() or condition())


async def opened(program):
    await until(lambda: program.step() or program.opened)


async def offered(program, service, pattern=b".*"):
    """Let a program provide a service, and wait until that is confirmed, or denied and confirmed anew."""
    await opened(program)
    before = program.oks, program.opens
    program.offer(service, pattern)
    await stepped(program, lambda: program.oks > before[0] + (program.opens - before[1]) * len(program.offered))


async def pricing(request):
    told = f"{request.headers['subject']} {request.headers['via']} {request.sender}"
    return told.encode() + b" " + request.payload


@contextlib.asynccontextmanager
async def pricing_net():
    async with TestNet() as net:
        worker = net.node("worker")
        worker.service("pricing")(pricing)
        await worker.start()
        await net.served("pricing")
        yield net


@contextlib.asynccontextmanager
async def slow_net():
    """A net with the service `slow`, and what lets it answer."""
    async with TestNet() as net:
        worker, go = net.node("worker"), asyncio.Event()

        @worker.service("slow")
        async def slow(request):
            await go.wait()
            return b"at last"

        await worker.start()
        await net.served("slow")
        yield net, go


async def test_client_calls_a_service_of_the_net(programs):
    async with pricing_net() as net, bridged(net) as bridge:
        client = programs(bridge)
        client.ask(b"pricing", b"14", tracker=b"t-7")
        heard = await hear(client)
        assert (heard.sender, heard.address, heard.subject, heard.tracker) == (b"worker", b"shop", b"price", b"t-7")
        assert heard.content == [b"price malamute:shop bridge-1 14"]
        assert client.oks == 1, "no SEND is confirmed"
        client.destroy()
        await stepped(client, lambda: client.closed)


async def test_errors_are_told_and_the_client_works_on(programs):
    rights = {"call": ["pricing", "nobody"]}
    async with pricing_net() as net, bridged(net, rights=rights) as bridge:
        client = programs(bridge)
        for service, code in ((b"nobody", b"NO_WORKER"), (b"secret", b"DENIED"), (b"two words", b"INVALID_SERVICE")):
            client.ask(service, b"14", tracker=service)
            heard = await hear(client)
            assert (heard.sender, heard.subject, heard.tracker) == (b"$braidmq", b"$error", service)
            assert (heard.content[0], heard.content[2]) == (code, b"0")
        client.ask(b"pricing", b"14")
        assert (await hear(client)).content == [b"price malamute:shop bridge-1 14"]
        client.write_stream()
        await stepped(client, lambda: client.opens == 2)
        assert client.reason == b"streams are not bridged"
        client.write_stream()
        await stepped(client, lambda: client.oks == 3)
        assert client.opens == 2, "it does not go round"


async def test_mail_goes_from_one_program_to_another(programs):
    async with TestNet() as net, bridged(net) as bridge:
        shop = programs(bridge)
        await opened(shop)
        shop.mail(b"store", b"1", b"", b"3", tracker=b"a")
        store = programs(bridge, b"store")
        heard = await hear(store, [shop])
        assert (heard.sender, heard.tracker, heard.content) == (b"shop", b"a", [b"1", b"", b"3"])
        store.answer(heard, b"yes")
        assert (await hear(shop, [store])).content == [b"yes"]


async def test_what_was_sent_while_no_bridge_ran_is_done_when_it_does(programs):
    async with pricing_net() as net:
        async with bridged(net) as first:
            endpoint = place(first)
            client = programs(first)
            await opened(client)
        client.ask(b"pricing", b"14")
        async with bridged(net, bind=[endpoint]):
            assert (await hear(client)).content == [b"price malamute:shop bridge-1 14"]
            assert client.opens == 2
            assert client.dropped == 0


async def test_two_programs_with_one_address_get_their_own_answers(programs):
    async with pricing_net() as net, bridged(net) as bridge:
        first, second = programs(bridge), programs(bridge)
        for number in range(5):
            first.ask(b"pricing", b"first", tracker=b"%d" % number)
            second.ask(b"pricing", b"second", tracker=b"%d" % number)
            assert (await hear(first, [second])).content[0].endswith(b" first")
            assert (await hear(second, [first])).content[0].endswith(b" second")
        assert first.opens == second.opens == 1


async def test_answer_waits_for_a_program_that_was_cut_off(programs):
    async with slow_net() as (net, go), bridged(net) as bridge:
        client = programs(bridge)
        client.ask(b"slow", tracker=b"mine")
        await opened(client)
        core = bridge._driver._core
        await until(lambda: core.counters["requests"] == 1)
        client.cut()
        await until(lambda: not len(core._sessions))
        go.set()
        await until(lambda: core.counters["mail_kept"] == 1)
        again = programs(bridge)
        heard = await hear(again)
        assert (heard.tracker, heard.content) == (b"mine", [b"at last"])


async def test_program_that_was_stopped_finds_its_answer(programs, monkeypatch):
    """It is forgotten meanwhile, and opens anew as soon as it goes on."""
    monkeypatch.setattr("braidmq.bridges.malamute.sessions.SILENCE_S_MAX", 0.3)
    async with slow_net() as (net, go), bridged(net) as bridge:
        counters = bridge._driver._core.counters
        client = programs(bridge)
        client.ask(b"slow", tracker=b"mine")
        await until(lambda: counters["forgotten"] == counters["requests"] == 1)
        go.set()
        await until(lambda: counters["mail_kept"] == 1)
        heard = await hear(client)
        assert (heard.tracker, heard.content) == (b"mine", [b"at last"])
        assert client.opens == 2


# -- PLAIN


USERS = {"shop": {"password": "secret"}, "eve": {"password": "evil", "join": "eve.braid"}}


async def test_users_prove_who_they_are_and_act_as_their_members(programs):
    async with pricing_net() as net:
        net.node("eve", call=["nothing"])
        async with bridged(net, users=USERS) as bridge:
            shop = programs(bridge, user=b"shop", password=b"secret")
            shop.ask(b"pricing", b"14")
            assert (await hear(shop)).content == [b"price malamute:shop bridge-1 14"]
            eve = programs(bridge, b"shop", user=b"eve", password=b"evil")
            eve.ask(b"pricing", b"14")
            heard = await hear(eve, [shop])
            assert (heard.sender, heard.address, heard.content[0]) == (b"$braidmq", b"eve", b"DENIED")
            shop.mail(b"shop", b"for the shop alone")
            assert (await hear(shop, [eve])).content == [b"for the shop alone"]
            assert not eve.inbox


async def test_wrong_password_and_none_reach_nobody(programs):
    async with TestNet() as net, bridged(net, users={"shop": {"password": "secret"}}) as bridge:
        wrong = programs(bridge, user=b"shop", password=b"guess")
        none = programs(bridge)
        router = bridge._router
        await until(lambda: router.counters["refused"] and not wrong.step() and not none.step())
        right = programs(bridge, user=b"shop", password=b"secret")
        await opened(right)
        assert bridge._driver._core.counters["sessions"] == 1
        assert not wrong.opened
        assert not none.opened


@pytest.mark.parametrize("users", [{}, {"shop": {"password": "secret"}}])
async def test_nobody_listens_for_other_machines_by_mistake(users):
    async with TestNet() as net:
        net.node("bridge-1")
        with pytest.raises(ConfigError, match="insecure_bind"):
            kind("malamute").make(plan(net, bind=["tcp://0.0.0.0:9999"], users=users))
        kind("malamute").make(plan(net, bind=["tcp://0.0.0.0:9999"], users=users, insecure_bind=True))


# -- bad input


async def test_whatever_is_sent_disturbs_nobody_else(programs):
    """10,000 random messages, an empty one, one that is too large: nothing is sent but OK, PONG and ERROR 500."""
    drawn = random.Random(18)
    async with pricing_net() as net, bridged(net) as bridge:
        honest = programs(bridge)
        await opened(honest)
        for number in range(10):
            raw = programs(bridge, b"raw%d" % number)
            for _ in range(1_000):
                await until(raw.writable)
                command = bytes((0xAA, 0xA8, drawn.randrange(20))) if drawn.random() < 0.7 else b""
                raw.say_raw(*(command + drawn.randbytes(drawn.randrange(20)) for _ in range(drawn.randrange(1, 4))))
            await until(raw.writable)
            raw.say_raw(b"")
            honest.ask(b"pricing", b"14")
            assert (await hear(honest)).content == [b"price malamute:shop bridge-1 14"]
            raw.cut()
        large = programs(bridge, b"large")
        await opened(large)
        large.ask(b"pricing", bytes(2 * 1024 * 1024))
        honest.ask(b"pricing", b"14")
        assert (await hear(honest, [large])).content == [b"price malamute:shop bridge-1 14"]
        bridge._driver._core.validate_state()


async def test_flood_of_one_program_leaves_the_others_answered(programs):
    async with pricing_net() as net, bridged(net) as bridge:
        honest, flood = programs(bridge), programs(bridge, b"flood")
        await opened(honest)
        await opened(flood)
        for number in range(10):
            for _ in range(200):
                if flood.writable():
                    flood.ask(b"pricing", b"x")
                if flood.writable():
                    flood.mail(b"nobody", b"x")
            honest.ask(b"pricing", b"%d" % number)
            heard = await hear(honest)
            assert heard.content == [b"price malamute:shop bridge-1 %d" % number]
        bridge._driver._core.validate_state()
        assert bridge._driver._core.counters["mail_kept"] <= limits.MAIL_PER_ADDRESS_MAX


# -- workers of Malamute


async def serve(worker, others=()):
    """Answer all that a worker is asked, as long as the test lasts."""
    while True:
        heard = await hear(worker, others)
        worker.answer(heard, worker.address + b" " + heard.content[0])


@contextlib.asynccontextmanager
async def serving(*workers):
    tasks = [asyncio.create_task(serve(worker)) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_worker_serves_a_node_of_the_net(programs):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        worker = programs(bridge, b"worker-1")
        await offered(worker, b"mlm.echo")
        await client.wait_for_services("mlm.echo", timeout=10)
        call = asyncio.create_task(client.request("mlm.echo", b"14", headers={"subject": "price", "tracker": "t-1"}))
        heard = await hear(worker)
        assert heard.sender.startswith(b"client/")
        assert (heard.address, heard.subject, heard.tracker) == (b"mlm.echo", b"price", b"t-1")
        worker.answer(heard, b"42")
        worker.answer(heard, b"43")
        reply = await call
        assert (reply.payload, reply.sender, reply.possible_duplicate) == (b"42", "bridge-1", False)


async def test_next_call_has_no_worker_once_the_only_one_has_closed(programs):
    async with TestNet() as net, bridged(net) as bridge, net.node("client") as client:
        worker = programs(bridge, b"worker-1")
        await offered(worker, b"mlm.echo")
        await until(lambda: worker.step() or "mlm.echo" in client.services_available())
        worker.destroy()
        await stepped(worker, lambda: worker.closed)
        await until(lambda: "mlm.echo" not in client.services_available())
        with pytest.raises(NoWorker):
            await client.request("mlm.echo", b"14", wait=False)


@pytest.mark.parametrize("duplicates", ["deliver", "refuse"])
async def test_what_a_worker_had_that_was_killed_goes_to_the_other(programs, duplicates):
    async with (
        TestNet() as net,
        bridged(net, services={"mlm.*": {"duplicates": duplicates}}) as bridge,
        net.node("client") as client,
    ):
        victim = programs(bridge, b"victim")
        await offered(victim, b"mlm.echo")
        await client.wait_for_services("mlm.echo", timeout=10)
        calls = [asyncio.create_task(client.request("mlm.echo", b"%d" % number)) for number in range(5)]
        await until(lambda: victim.step() and len(victim.inbox) == 5)
        heir = programs(bridge, b"heir")
        await offered(heir, b"mlm.echo")
        victim.cut()
        async with serving(heir):
            ends = await asyncio.gather(*calls, return_exceptions=True)
    if duplicates == "deliver":
        assert [end.payload for end in ends] == [b"heir %d" % number for number in range(5)]
        assert all(end.possible_duplicate for end in ends)
    else:
        assert [end.code for end in ends] == ["POSSIBLE_DUPLICATE"] * 5


async def test_client_and_worker_of_malamute_meet_by_their_subject(programs):
    async with TestNet() as net, bridged(net) as bridge:
        workers = programs(bridge, b"bw"), programs(bridge, b"color")
        for worker in workers:
            await offered(worker, b"mlm.print", worker.address + b".*")
        await net.served("mlm.print")
        client = programs(bridge)
        async with serving(*workers):
            for number in range(4):
                subject = (b"color", b"bw")[number % 2] + b".A4"
                client.ask(b"mlm.print", b"%d" % number, subject=subject, tracker=b"%d" % number)
                heard = await hear(client)
                assert (heard.subject, heard.tracker) == (subject, b"%d" % number)
                assert heard.content == [subject.removesuffix(b".A4") + b" %d" % number]


async def test_offer_that_is_denied_fails_once_and_the_others_go_on(programs):
    async with TestNet() as net, bridged(net, rights={"serve": ["mlm.*"]}) as bridge:
        worker = programs(bridge, b"worker-1")
        await offered(worker, b"mlm.echo")
        await offered(worker, b"other")
        assert worker.reason == b"AccessDenied: the bridge may not serve other"
        await offered(worker, b"mlm.more")
        assert worker.opens == 2, "it does not go round"
        await net.served("mlm.echo")
        await net.served("mlm.more")


async def test_worker_offers_again_at_the_next_bridge_and_old_answers_are_nobodys(programs):
    async with TestNet() as net, net.node("client") as client:
        async with bridged(net) as first:
            endpoint = place(first)
            worker = programs(first, b"worker-1")
            await offered(worker, b"mlm.echo")
            await client.wait_for_services("mlm.echo", timeout=10)
            lost = asyncio.create_task(client.request("mlm.echo", b"lost", timeout=20))
            old = await hear(worker)
        async with bridged(net, bind=[endpoint]) as second:
            heard = await hear(worker)
            worker.answer(old, b"too late")
            worker.answer(heard, heard.content[0])
            reply = await lost
            assert (reply.payload, reply.possible_duplicate) == (b"lost", True)
            await until(lambda: second._driver._core.counters["late_answers"] == 1)


async def test_users_provide_services_as_their_members(programs):
    async with TestNet() as net, net.node("client") as client:
        net.node("eve", serve=["mlm.*"])
        async with bridged(net, rights={"serve": []}, users=USERS) as bridge:
            shop = programs(bridge, user=b"shop", password=b"secret")
            await offered(shop, b"mlm.echo")
            assert shop.reason == b"AccessDenied: the bridge may not serve mlm.echo"
            eve = programs(bridge, b"eve", user=b"eve", password=b"evil")
            await offered(eve, b"mlm.echo")
            await client.wait_for_services("mlm.echo", timeout=10)
            async with serving(eve):
                reply = await client.request("mlm.echo", b"14")
            assert (reply.payload, reply.sender) == (b"eve 14", "eve")


async def test_drain_answers_what_is_under_way(programs):
    async with slow_net() as (net, go), net.node("client") as client, bridged(net) as bridge:
        worker, shop = programs(bridge, b"worker-1"), programs(bridge)
        await offered(worker, b"mlm.echo")
        await client.wait_for_services("mlm.echo", timeout=10)
        call = asyncio.create_task(client.request("mlm.echo", b"14"))
        heard = await hear(worker)
        shop.ask(b"slow", tracker=b"a")
        await until(lambda: shop.step() or bridge._driver._core.counters["requests"] == 1)
        drain = asyncio.create_task(bridge.drain())
        await until(lambda: "mlm.echo" not in client.services_available())
        shop.ask(b"slow", tracker=b"b")
        refused = await hear(shop, [worker])
        assert (refused.tracker, refused.content[0]) == (b"b", b"UNAVAILABLE")
        go.set()
        assert (await hear(shop, [worker])).content == [b"at last"]
        worker.answer(heard, b"42")
        await drain
        assert (await call).payload == b"42"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such names of Unix sockets")
async def test_programs_find_the_bridge_at_a_unix_socket(programs):
    async with pricing_net() as net, bridged(net, bind=[f"ipc://@/braidmq-test-{os.getpid()}"]) as bridge:
        client = programs(bridge)
        client.ask(b"pricing", b"14")
        assert (await hear(client)).content == [b"price malamute:shop bridge-1 14"]
        client.cut()
        await until(lambda: not len(bridge._driver._core._sessions))
