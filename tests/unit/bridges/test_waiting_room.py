"""Tasks that call wait for their turn, and leave nothing behind."""

import asyncio
import contextlib
import time

import pytest

from braidmq.bridges.turns import SPARED
from braidmq.bridges.waiting_room import WaitingRoom
from braidmq.errors import Overloaded
from braidmq.settings import Settings
from tests.support.async_tests import until

PLACES = 64 - 64 // SPARED
ALONE = PLACES - PLACES // SPARED


class Callers:
    """Tasks that each have a call on its way from when they have a place until they are let go."""

    def __init__(self, **settings):
        self.room = WaitingRoom(Settings(in_flight_max=64, **settings))
        self.begun = []
        self.gates = []

    async def _call(self, owner, timeout_s):
        number, place = self.room.enter(owner, "echo", 1, timeout_s)
        try:
            left_s = timeout_s if place is None else await place
            gate = asyncio.Event()
            self.begun.append((owner, left_s))
            self.gates.append(gate)
            await gate.wait()
        finally:
            self.room.leave(number)

    async def call(self, owner, times=1, timeout_s=60.0):
        """Begin calls; return their tasks once each has its place, waits, or is refused."""
        tasks = [asyncio.create_task(self._call(owner, timeout_s)) for _ in range(times)]
        await asyncio.sleep(0)
        return tasks

    @property
    def owners(self):
        return [owner for owner, _ in self.begun]

    def end_one(self):
        self.gates.pop(0).set()

    def is_empty(self):
        self.room._turns.validate_state()
        return not self.room._waiting and not self.room._turns._calls


@contextlib.asynccontextmanager
async def callers(**settings):
    those = Callers(**settings)
    try:
        yield those
    finally:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert those.is_empty()


async def test_one_with_few_calls_goes_on_at_once_beside_one_that_floods():
    async with callers() as those:
        await those.call("flood", 500)
        assert those.owners == ["flood"] * ALONE
        await those.call("other", 3)
        assert those.owners[ALONE:] == ["other"] * 3


async def test_each_call_that_ends_lets_one_go_on_with_the_time_that_it_has_left():
    async with callers() as those:
        await those.call("a", ALONE)
        waits = await those.call("a", 3, timeout_s=5.0)
        assert len(those.begun) == ALONE
        for count in (1, 2, 3):
            those.end_one()
            await until(lambda count=count: len(those.begun) == ALONE + count)
        assert all(0 < left_s <= 5.0 for _, left_s in those.begun[ALONE:])
        assert not any(task.done() for task in waits)


@pytest.mark.parametrize("place_is_free_first", [False, True])
async def test_who_is_cancelled_while_it_waits_keeps_no_place(place_is_free_first):
    async with callers() as those:
        await those.call("a", ALONE)
        first, second = await those.call("a", 2)
        if place_is_free_first:
            those.end_one()
            first.cancel()
        else:
            first.cancel()
            those.end_one()
        await until(lambda: len(those.begun) == ALONE + 1)
        assert first.cancelled()
        assert not second.done()


async def test_who_is_cancelled_as_its_turn_comes_leaves_its_place_to_the_next_one():
    async with callers() as those:
        await those.call("a", ALONE)
        first, second = await those.call("a", 2)
        (place, _) = those.room._waiting.values()
        those.end_one()
        await asyncio.sleep(0)
        assert place.done()
        assert len(those.begun) == ALONE, "its task has not run yet"
        first.cancel()
        await until(lambda: len(those.begun) == ALONE + 1)
        assert first.cancelled()
        assert not second.done()


async def test_who_has_waited_for_all_of_its_time_is_told_so():
    async with callers() as those:
        await those.call("a", ALONE)
        later, late = [(await those.call("a", timeout_s=timeout_s))[0] for timeout_s in (60.0, 0.05)]
        with pytest.raises(Overloaded, match="no place was free"):
            await late
        assert not later.done()


async def test_who_is_cancelled_in_the_moment_in_which_its_time_is_over_is_cancelled():
    async with callers() as those:
        await those.call("a", ALONE)
        (late,) = await those.call("a", timeout_s=0.02)
        asyncio.get_running_loop().call_later(0.01, late.cancel)
        time.sleep(0.1)  # noqa: ASYNC251 - the event loop stands still until both are due
        await asyncio.wait([late])
        assert late.cancelled()


async def test_calls_of_one_that_floods_are_refused_and_leave_room_for_others():
    async with callers(waiting_max=40) as those:
        flood = await those.call("flood", 200)
        assert sum(task.done() for task in flood) == 200 - ALONE - 20
        with pytest.raises(Overloaded, match="20 of them of this program"):
            await flood[-1]
        for task in flood:
            assert not task.done() or isinstance(task.exception(), Overloaded)
        others = [task for number in range(8) for task in await those.call(f"p{number}", 2)]
        assert not any(task.done() for task in others)
