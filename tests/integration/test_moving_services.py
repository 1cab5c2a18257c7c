"""Services that come and go while nodes run, handlers that do not answer, and known retries, over real brokers."""

import asyncio
import threading

import pytest

from braidmq import (
    AccessDenied,
    AttemptsExhausted,
    ConfigError,
    NodeClosed,
    NotRun,
    NoWorker,
    OutcomeUnknown,
    Overloaded,
    Request,
    Settings,
)
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.patience import patient

ID = bytes(range(16))


async def who(request: Request) -> bytes:
    return request.receiver.encode()


class Held:
    """A handler that says when it has begun, and ends when it is let."""

    def __init__(self):
        self.begun, self.opened, self.cancelled = 0, asyncio.Event(), 0

    async def __call__(self, request):
        self.begun += 1
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return b"held"


# -- offer, resize, withdraw


@pytest.mark.parametrize("handler", [who, lambda request: request.receiver.encode()], ids=["async def", "def"])
async def test_a_service_is_offered_withdrawn_and_offered_again_while_the_node_runs(handler):
    async with TestNet(2) as net, net.node("worker") as worker, net.node("client") as client:
        for concurrency in (1, 8):
            await worker.offer("late", handler, concurrency=concurrency)
            assert worker.services == ("late",)
            await client.wait_for_services("late", timeout=10.0)
            assert (await client.request("late")).payload == b"worker"
            assert await worker.withdraw("late")
            assert worker.services == ()
            await until(lambda: not client.services_available())
            with pytest.raises(NoWorker):
                await client.request("late", wait=False)


async def test_no_call_fails_while_a_service_goes_from_one_worker_to_another():
    async with (
        TestNet(2, settings=patient()) as net,
        net.node("w1") as one,
        net.node("w2") as two,
        net.node("client") as client,
    ):
        await one.offer("s", who)
        await client.wait_for_services("s")
        seen, ended = [], asyncio.Event()

        async def call():
            while not ended.is_set():
                seen.append(await client.request("s"))

        async with asyncio.TaskGroup() as calls:
            for _ in range(8):
                calls.create_task(call())
            for _ in range(5):
                for coming, going in ((two, one), (one, two)):
                    await coming.offer("s", who)
                    await net.served("s", workers=2)
                    before = len(seen)
                    assert await going.withdraw("s")
                    await until(lambda before=before: len(seen) > before + 20)
            ended.set()
        assert {reply.payload for reply in seen} == {b"w1", b"w2"}
        assert not any(reply.possible_duplicate for reply in seen)


async def test_a_withdrawal_waits_for_what_runs_and_its_reply_counts():
    held = Held()
    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:
        await worker.offer("s", held)
        await client.wait_for_services("s")
        call = asyncio.create_task(client.request("s"))
        await until(lambda: held.begun == 1)
        withdrawal = asyncio.create_task(worker.withdraw("s", timeout=30.0))
        await until(lambda: not client.services_available())
        assert not withdrawal.done()
        held.opened.set()
        assert (await call).payload == b"held"
        assert await withdrawal


async def test_what_goes_on_when_its_time_is_over_is_stopped_and_tried_elsewhere_with_the_flag():
    held, flags = Held(), []

    async def other(request):
        flags.append(request.possible_duplicate)
        return b"other"

    async with TestNet(1) as net, net.node("w1") as one, net.node("w2") as two, net.node("client") as client:
        await one.offer("s", held)
        await client.wait_for_services("s")
        call = asyncio.create_task(client.request("s"))
        await until(lambda: held.begun == 1)
        await two.offer("s", other)
        await net.served("s", workers=2)
        assert not await one.withdraw("s", timeout=0.0)
        assert (await call).payload == b"other"
        assert (held.cancelled, flags) == (1, [True])


async def test_a_withdrawal_waits_for_what_ran_although_the_service_is_offered_again_meanwhile():
    held = Held()
    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:
        await worker.offer("s", held)
        await client.wait_for_services("s")
        call = asyncio.create_task(client.request("s"))
        await until(lambda: held.begun == 1)
        withdrawal = asyncio.create_task(worker.withdraw("s", timeout=30.0))
        await until(lambda: not worker.services)
        await worker.offer("s", who)
        assert (await client.request("s")).payload == b"worker"
        assert not withdrawal.done(), "what ran at the withdrawal goes on"
        held.opened.set()
        assert (await call).payload == b"held"
        assert await withdrawal


async def test_the_end_of_a_withdrawals_time_stops_nothing_of_a_later_offer():
    first, second = Held(), Held()
    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:
        await worker.offer("s", first)
        await client.wait_for_services("s")
        calls = [asyncio.create_task(client.request("s", attempts=1))]
        await until(lambda: first.begun == 1)
        earlier = asyncio.create_task(worker.withdraw("s", timeout=1.0))
        await until(lambda: not worker.services)
        await worker.offer("s", second)
        calls.append(asyncio.create_task(client.request("s", attempts=1)))
        await until(lambda: second.begun == 1)
        later = asyncio.create_task(worker.withdraw("s", timeout=30.0))
        assert not await earlier
        with pytest.raises(AttemptsExhausted):
            await calls[0]
        assert (first.cancelled, second.cancelled) == (1, 0)
        assert not later.done()
        second.opened.set()
        assert (await calls[1]).payload == b"held"
        assert await later


async def test_more_places_let_more_run_at_once_in_threads_too():
    begun, opened = [], threading.Event()

    def block(request):
        begun.append(request.id)
        opened.wait(30.0)
        return b""

    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:
        await worker.offer("s", block, concurrency=1)
        await client.wait_for_services("s")
        calls = [asyncio.create_task(client.request("s", timeout=30.0)) for _ in range(6)]
        await until(lambda: len(begun) == 1)
        await worker.resize("s", 6)
        await until(lambda: len(begun) == 6)
        opened.set()
        await asyncio.gather(*calls)


async def test_a_handler_may_withdraw_its_own_service():
    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:

        async def once(request):
            assert not await worker.withdraw("s")
            return b"once"

        await worker.offer("s", once)
        await client.wait_for_services("s")
        assert (await client.request("s")).payload == b"once"
        await until(lambda: not client.services_available())


async def test_what_was_declared_may_be_withdrawn_and_resized_too():
    async with TestNet(1) as net:
        worker = net.node("worker")
        worker.service("s")(who)
        async with worker, net.node("client") as client:
            await client.wait_for_services("s")
            await worker.resize("s", 2)
            assert (await client.request("s")).payload == b"worker"
            assert await worker.withdraw("s")


async def test_nothing_is_remembered_of_services_that_come_and_go_without_end(monkeypatch):
    monkeypatch.setattr("braidmq.host.stalls.KEPT_S", 0.0)
    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:
        for number in range(4):
            await worker.offer(f"s{number}", who)
            await client.wait_for_services(f"s{number}")
            await client.request(f"s{number}")
            await worker.withdraw(f"s{number}")
        assert len(worker._telling.stalls.ended_at) <= 1


async def test_a_blocking_node_does_all_of_it():
    def play(net):
        with net.blocking_node("worker") as worker, net.blocking_node("client") as client:
            worker.offer("s", who, concurrency=2)
            assert worker.services == ("s",)
            client.wait_for_services("s", timeout=10.0)
            available = client.services_available()
            assert available == {"s"}
            assert client.request("s", id=ID, possible_duplicate=True).original_id == ID
            worker.resize("s", 3)
            assert worker.withdraw("s", timeout=5.0)
            assert client.services_changed(available, timeout=10.0) == frozenset()

    async with TestNet(1) as net:
        await asyncio.to_thread(play, net)


async def test_wrong_changes_are_refused_in_one_line():
    async with TestNet(1) as net:
        worker = net.node("worker", serve=["s", "t"])
        with pytest.raises(NodeClosed, match="the node is not running"):
            await worker.offer("s", who)
        async with worker:
            await worker.offer("s", who)
            for change, text in (
                (lambda: worker.offer("no name", who), "cannot name a service"),
                (lambda: worker.offer("t", 7), "cannot be called"),  # type: ignore[arg-type]
                (lambda: worker.offer("t", who, concurrency=0), "concurrency must be between 1 and 10000"),
                (lambda: worker.offer("s", who), "s has a handler already"),
                (lambda: worker.offer("u", who), "worker may not serve u"),
                (lambda: worker.resize("t", 2), "does not provide t; it provides s"),
                (lambda: worker.resize("s", True), "concurrency must be a whole number"),
                (lambda: worker.withdraw("t"), "does not provide t"),
                (lambda: worker.withdraw("s", timeout=-1), "timeout must be at least 0"),
                (lambda: worker.services_changed("s"), "known must be a set or list of services"),
                (worker.wait_for_services, "name at least one service"),
                (lambda: worker.request("s", id=b"short"), "id must be 16 bytes"),
                (
                    lambda: worker.request("s", possible_duplicate=1),  # type: ignore[arg-type]
                    "possible_duplicate must be True or False",
                ),
            ):
                with pytest.raises(ConfigError, match=text):
                    await change()
            with pytest.raises(ConfigError, match=r"or offer it with node.offer\(\)"):
                worker.service("t")
            assert worker.services == ("s",)
        with pytest.raises(NodeClosed):
            await worker.withdraw("s")


# -- handlers that do not answer


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_a_handler_has_not_run_goes_to_another_worker_without_the_flag(in_thread):
    declined, flags = [], []

    async def decline(request):
        declined.append(request.id)
        raise NotRun("its worker is gone")

    def decline_in_thread(request):
        declined.append(request.id)
        raise NotRun("its worker is gone")

    async def run(request):
        flags.append(request.possible_duplicate)
        return b"run"

    async with (
        TestNet(1, settings=patient()) as net,
        net.node("w1") as one,
        net.node("w2") as two,
        net.node("client") as client,
    ):
        await one.offer("s", decline_in_thread if in_thread else decline)
        await two.offer("s", run)
        await net.served("s", workers=2)
        replies = [await client.request("s", attempts=1) for _ in range(6)]
        assert {reply.payload for reply in replies} == {b"run"}
        assert declined
        assert not any(flags)
        assert not any(reply.possible_duplicate for reply in replies)


async def test_where_nobody_runs_it_its_caller_is_promised_that_it_was_not_run():
    async def decline(request):
        raise NotRun

    async with TestNet(1) as net, net.node("worker") as worker, net.node("client") as client:
        await worker.offer("s", decline)
        await client.wait_for_services("s")
        with pytest.raises(Overloaded) as caught:
            await client.request("s", attempts=1, timeout=20.0)
        assert not caught.value.maybe_executed


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_a_handler_does_not_know_is_tried_again_with_the_flag_at_the_same_worker_too(in_thread):
    flags = []

    def forget(request):
        flags.append(request.possible_duplicate)
        if len(flags) == 1:
            raise OutcomeUnknown("its worker is gone")
        return b"again"

    async def forget_on_loop(request):
        return forget(request)

    async with TestNet(2) as net, net.node("worker") as worker, net.node("client") as client:
        await worker.offer("s", forget if in_thread else forget_on_loop)
        await client.wait_for_services("s")
        reply = await client.request("s")
        assert (reply.payload, reply.possible_duplicate, flags) == (b"again", True, [False, True])
        flags.clear()
        with pytest.raises(AttemptsExhausted) as caught:
            await client.request("s", attempts=1)
        assert caught.value.maybe_executed


# -- which services there are


async def test_changes_of_what_is_available_are_told_and_none_is_missed():
    async with TestNet(2) as net, net.node("worker") as worker, net.node("client") as client:
        known = client.services_available()
        assert known == frozenset()
        assert await client.services_changed(known, timeout=0.0) == known
        waiting = asyncio.create_task(client.services_changed(known))
        await worker.offer("one", who)
        assert await waiting == {"one"}
        await worker.offer("two", who)
        await worker.withdraw("one")
        known = frozenset({"one"})
        while known != {"two"}:
            known = await client.services_changed(known, timeout=10.0)


async def test_services_that_a_node_may_not_call_are_none_of_its():
    async with TestNet(1) as net, net.node("worker") as worker, net.node("client", call=["s"]) as client:
        await worker.offer("hidden", who)
        await worker.offer("s", who)
        await client.wait_for_services("s", timeout=10.0)
        assert client.services_available() == {"s"}
        with pytest.raises(AccessDenied, match="may not call hidden, unseen: the net's operator lets it by"):
            await client.wait_for_services("unseen", "s", "hidden")


async def test_a_wait_for_services_that_do_not_come_ends_in_time():
    async with TestNet(1) as net, net.node("client") as client:
        await client.connected()
        with pytest.raises(NoWorker, match=r"no worker for s, t came within 0.05 s"):
            await client.wait_for_services("t", "s", timeout=0.05)


async def test_a_wait_ends_with_its_node():
    async with TestNet(1) as net, net.node("client") as client:
        waiting = asyncio.create_task(client.services_changed(()))
        await client.connected()
        await client.close()
        with pytest.raises(NodeClosed):
            await waiting


# -- known retries


async def test_a_known_retry_is_answered_from_memory_and_flagged_where_it_runs():
    seen = []

    async def count(request):
        seen.append((request.id, request.possible_duplicate, request.retry_count))
        return str(len(seen)).encode()

    settings = Settings.test(dedup_s=60.0)
    async with TestNet(1) as net, net.node("worker", settings=settings) as worker, net.node("client") as client:
        await worker.offer("s", count)
        await client.wait_for_services("s")
        first = await client.request("s", b"x", id=ID)
        again = await client.request("s", b"x", id=ID, possible_duplicate=True)
        assert (first.payload, again.payload, again.possible_duplicate) == (b"1", b"1", True)
        other = await client.request("s", b"other", id=ID, possible_duplicate=True)
        assert (other.payload, other.possible_duplicate) == (b"2", True)
        assert seen == [(ID, False, 0), (ID, True, 1)]
