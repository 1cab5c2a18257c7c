import asyncio
import signal

import pytest

from braidmq.host import loop_signals
from braidmq.host.loop_signals import LoopSignals
from braidmq.host.signals import STOP_SIGNALS

WAIT_S = 10.0


@pytest.fixture
def ended(monkeypatch):
    """The signals by which this process would have ended."""
    ended = []
    monkeypatch.setattr(loop_signals, "end_by_signal", ended.append)
    return ended


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_first_signal_drains_and_is_told(number, ended):
    async def main():
        leaving, told = asyncio.Event(), []
        with LoopSignals(leaving, on_first=lambda: told.append(leaving.is_set())):
            signal.raise_signal(number)
            await asyncio.wait_for(leaving.wait(), WAIT_S)
        assert told == [False]

    asyncio.run(main())
    assert not ended


@pytest.mark.parametrize("by_signal", [True, False])
def test_signal_while_it_drains_ends_the_process_after_what_is_awaited(by_signal, ended):
    async def main():
        leaving, steps, over = asyncio.Event(), [], asyncio.Event()

        async def before_the_end():
            steps.append(f"{len(ended)} have ended it")
            asyncio.get_running_loop().call_soon(over.set)

        def on_first():
            steps.append("first")

        with LoopSignals(leaving, on_first=on_first, before_the_end=before_the_end):
            if by_signal:
                signal.raise_signal(signal.SIGTERM)
                await asyncio.wait_for(leaving.wait(), WAIT_S)
            else:
                leaving.set()
            signal.raise_signal(signal.SIGINT)
            await asyncio.wait_for(over.wait(), WAIT_S)
        assert steps == [*["first"] * by_signal, "0 have ended it"]

    asyncio.run(main())
    assert ended == [signal.SIGINT]


def test_afterwards_signals_do_what_they_did(ended):
    before = signal.getsignal(signal.SIGTERM)

    async def main():
        with LoopSignals(asyncio.Event(), on_first=lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) in {before, signal.SIG_DFL}

    asyncio.run(main())
