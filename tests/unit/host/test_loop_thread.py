"""An event loop in a thread of its own."""

import asyncio
import contextlib
import signal
import threading

import pytest

from braidmq.errors import BraidError, NodeClosed, WrongLoop
from braidmq.host.loop_thread import LoopThread
from tests.support.async_tests import wait_until
from tests.support.resources import counted, held, nothing_left
from tests.support.scarcity import descriptors, only


@contextlib.contextmanager
def running():
    """Yield a thread that runs, and what ends it."""

    async def main():
        await end.wait()

    end, thread = asyncio.Event(), LoopThread()
    thread.start(main(), "loop")
    try:
        yield thread, lambda: thread.call(end.set)
    finally:
        thread.call(end.set)
        assert thread.join(10.0)


async def number():
    await asyncio.sleep(0)
    return 14


async def fail():
    raise KeyError("no")


@counted
def test_it_runs_what_it_is_handed_until_it_ends_and_leaves_nothing():
    before = held()
    with running() as (thread, end):
        assert thread.run(number()) == 14
        with pytest.raises(KeyError):
            thread.run(fail())
        assert not thread.join(0.0)
        end()
        assert thread.join(10.0)
        with pytest.raises(NodeClosed):
            thread.run(number())
        thread.call(pytest.fail)
    wait_until(lambda: nothing_left(before))


def test_what_it_is_handed_and_cannot_finish_gets_an_end():
    with running() as (thread, end):
        ends = []

        def wait():
            with pytest.raises(NodeClosed, match="before the answer"):
                thread.run(asyncio.Event().wait())
            ends.append(1)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while len(thread.run(tasks())) < 3:
            pass
        end()
        waiting.join(10.0)
        assert ends == [1]


async def tasks():
    return asyncio.all_tasks()


def test_a_wait_has_a_bound():
    with running() as (thread, _end), pytest.raises(TimeoutError):
        thread.run(asyncio.Event().wait(), 0.01)


def test_its_own_thread_does_not_wait_for_itself():
    async def inner():
        assert thread.here
        with pytest.raises(WrongLoop, match="own thread"):
            thread.run(number())
        return thread.join(10.0)

    with running() as (thread, _end):
        assert not thread.here
        assert thread.run(inner()) is False


def test_a_signal_handler_may_hand_in_work_wherever_its_thread_is():
    def on_signal(_number, _frame):
        results.append(thread.run(number()))

    results = []
    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        with running() as (thread, _end), thread._gate:
            signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert results == [14]


def test_tasks_that_do_not_heed_their_end_do_not_hold_it_up(caplog, monkeypatch):
    monkeypatch.setattr("braidmq.host.loop_thread.TASKS_END_S_MAX", 0.05)

    async def stubborn():
        begun.set()
        while not released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def start():
        kept.append(asyncio.ensure_future(stubborn()))

    begun, released, kept = threading.Event(), [], []
    with running() as (thread, end):
        thread.run(start())
        assert begun.wait(10.0)
        end()
        assert thread.join(10.0)
    assert "1 tasks go on" in caplog.text
    released.append(1)
    kept[0].get_coro().close()
    kept[0]._log_destroy_pending = False


def test_the_callers_thread_may_run_it():
    async def main():
        results.append(await asyncio.to_thread(thread.run, number()))
        results.append(thread.here)

    results, thread = [], LoopThread()
    thread.serve(main())
    assert (results, thread.here, thread.join(0.0)) == ([14, True], False, True)


@descriptors
def test_without_descriptors_it_says_so():
    with only(2):
        before = held()
        with pytest.raises(BraidError, match="descriptors"):
            LoopThread()
        wait_until(lambda: nothing_left(before))
