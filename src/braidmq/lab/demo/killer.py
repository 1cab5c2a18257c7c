"""The killer: kill -9 for one broker after the other, under load, and a new process for it soon afterwards."""

import asyncio
import random

from braidmq.lab.demo.board import Board
from braidmq.lab.demo.net import Net


class Killer:
    """Kills at the times of the plan, but never before every broker has served since it was started.

    So two are never down at once, and the load of the killed one has somewhere to go.

    Args:
        net: whose brokers it kills.
        board: what it goes by.
        changed: is notified whenever the board has changed.
    """

    def __init__(self, net: Net, board: Board, changed: asyncio.Condition) -> None:
        self._net = net
        self._board = board
        self._changed = changed
        self._now = asyncio.get_running_loop().time

    async def run(self, start: float) -> None:
        """Kill until the plan's duration is over, and return when the last broker that was killed serves again."""
        plan = self._net.plan
        for number, after_s in enumerate(plan.kill_times):
            await asyncio.sleep(start + after_s - self._now())
            await self._all_serve()
            if self._now() >= start + plan.duration_s:
                break
            await self._kill(self._net.broker_names[number % plan.brokers])
        await self._all_serve()

    async def _kill(self, name: str) -> None:
        now = self._now()
        await self._net.brokers[name].kill()
        self._net.tell_clients(f"killed {now}")
        self._board.on_killed(name, now)
        await asyncio.sleep(random.uniform(*self._net.plan.down_s))  # noqa: S311 - how long it stays down
        started_at = self._now()
        child = self._net.start_broker(name)
        self._board.on_started(name, child.pid, started_at)

    async def _all_serve(self) -> None:
        async with self._changed:
            await self._changed.wait_for(self._board.may_kill)
