"""An event loop that is late is found out, and one that nobody cares about is left alone."""

import asyncio
import time

from braidmq.host.loop_watch import LoopWatch
from braidmq.host.run_delay import run_delay_s


def watched(*, looks, block_s=0.0):
    """Return what a watch tells that is wanted for so many looks, in a loop that is blocked at first."""
    told = []

    async def run():
        over = asyncio.Event()

        def tell(late_s, away_s):
            told.append((late_s, away_s))
            if len(told) == looks:
                over.set()

        watch = LoopWatch(tell, lambda: len(told) < looks)
        watch.stir()
        watch.stir()  # it looks already
        time.sleep(block_s)  # noqa: ASYNC251 - that is what it is about
        async with asyncio.timeout(30.0):
            await over.wait()
        assert watch._timer is None
        watch.stir()
        watch.end()
        watch.stir()
        assert watch._timer is None

    asyncio.run(run())
    return told


def test_it_looks_as_long_as_it_is_wanted():
    told = watched(looks=3)
    assert len(told) == 3
    assert all(0.0 <= away_s <= late_s for late_s, away_s in told)


def test_a_standstill_shows_in_the_look_that_was_due():
    [(late_s, _away_s)] = watched(looks=1, block_s=0.2)
    assert late_s >= 0.15


def test_whoever_fails_to_be_told_is_told_again():
    told, failed = [], []

    async def run():
        over = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context["exception"]))

        def tell(late_s, _away_s):
            told.append(late_s)
            if len(told) == 1:
                raise ValueError
            over.set()

        watch = LoopWatch(tell, lambda: True)
        watch.stir()
        async with asyncio.timeout(30.0):
            await over.wait()
        watch.end()

    asyncio.run(run())
    assert [type(error) for error in failed] == [ValueError]


def test_the_wait_for_a_processor_is_what_the_system_tells(monkeypatch, tmp_path):
    told = tmp_path / "schedstat"
    told.write_text("812000 2500000000 37\n", encoding="ascii")
    monkeypatch.setattr("braidmq.host.run_delay._PATH", str(told))
    assert run_delay_s() == 2.5


def test_where_nobody_tells_it_is_nothing(monkeypatch):
    monkeypatch.setattr("braidmq.host.run_delay._PATH", "/nowhere")
    assert run_delay_s() == 0.0
