"""One run of the demo, from the first key to the summary."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from braidmq.lab.demo.board import SAMPLE_S, Board
from braidmq.lab.demo.killer import Killer
from braidmq.lab.demo.net import READY_S, DemoFailed, Net
from braidmq.lab.demo.plan import PAYLOAD_BYTES, WORK_S, Plan
from braidmq.lab.demo.summary import Summary, summarize
from braidmq.lab.demo.tally import GRACE_S, Snapshot, Stage
from braidmq.lab.demo.view import View
from braidmq.lab.processes.child import Child

SHOW_S: Final = 0.25
"""From one picture of the view to the next."""

SERVE_AGAIN_S: Final = 20.0
"""How long the last killed broker may take to serve again after the planned end."""

LAST_WORDS_S: Final = 5.0
"""How long clients may take to say that all has ended, beyond the last deadline."""

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 - it is no error
    """SIGINT, SIGTERM or SIGHUP ended the demo; everything is cleared away.

    Attributes:
        number: which.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


async def run(plan: Plan, view: View, logs: Path | None = None) -> Summary:
    """Run the demo and leave nothing behind, however it ends.

    Args:
        plan: what to do.
        view: where to show it.
        logs: a directory to keep the processes' logs in.

    Raises:
        DemoFailed: it could not be run: a process did not start or ended by itself.
        Interrupted: a signal came.
    """
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        if len(received) == 1:  # a second one must not cut the clearing away short; that is bounded
            main.cancel()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        async with Net(plan, logs) as net:
            return await _Run(net, view).run()
    except asyncio.CancelledError:
        if not received:
            raise
        raise Interrupted(received[0]) from None


class _Run:
    def __init__(self, net: Net, view: View) -> None:
        self._net = net
        self._plan = net.plan
        self._view = view
        self._board = Board(net.plan, net.broker_names)
        self._changed = asyncio.Condition()
        self._now = asyncio.get_running_loop().time
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> Summary:
        net, plan, board = self._net, self._plan, self._board
        self._spawn(self._show())
        try:
            with self._view:
                await net.guard(self._start())
                start = board.started_at = self._now()
                net.tell_clients("go")
                board.tell(
                    start,
                    f"load: {plan.rate:,.0f} requests/s of {PAYLOAD_BYTES:,} bytes, "
                    f"{WORK_S[0] * 1000:g} to {WORK_S[1] * 1000:g} ms of work each",
                )
                self._spawn(self._sample())
                await net.guard(self._run_load(start))
                board.stopped_at = self._now()
                net.tell_clients("stop")
                problems = await net.guard(self._finish())
                problems += await net.drain()
                self._view.show(board, self._now())
        finally:
            for task in self._tasks:
                task.cancel()
        return summarize(
            plan,
            board.totals,
            duration_s=board.elapsed_s(self._now()),
            killed=board.kills,
            restarted=board.restarts,
            problems=problems,
        )

    async def _start(self) -> None:
        net, plan = self._net, self._plan
        for name in net.broker_names:
            started_at = self._now()
            child = net.start_broker(name)
            self._board.on_started(name, child.pid, started_at)
        for number in range(1, plan.workers + 1):
            net.start_worker(f"w{number}")
        for number in range(1, plan.clients + 1):
            self._spawn(self._listen(net.start_client(f"c{number}")))
        try:
            await self._until_all(Stage.READY, READY_S)
        except TimeoutError:
            client = next(child for name, child in net.clients.items() if not self._board.has(name))
            raise DemoFailed(
                f"no client and worker met within {READY_S:g} s; {client.name} says: {client.last_log_line()}"
            ) from None

    async def _run_load(self, start: float) -> None:
        """Kill brokers under load for the planned time, and until the last one that was killed serves again."""
        end = start + self._plan.duration_s
        try:
            async with asyncio.timeout_at(end + SERVE_AGAIN_S):
                await Killer(self._net, self._board, self._changed).run(start)
        except TimeoutError:
            names = [row.name for row in self._board.brokers.values() if row.state != "up"]
            raise DemoFailed(f"no request went through {', '.join(names)} after the restart") from None
        await asyncio.sleep(end - self._now())

    async def _finish(self) -> list[str]:
        """Wait until all that was issued has ended."""
        try:
            await self._until_all(Stage.DONE, self._plan.timeout_s + GRACE_S + LAST_WORDS_S)
        except TimeoutError:
            return ["not every client said in time that all its requests have ended"]
        return []

    async def _until_all(self, stage: Stage, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self._board.clients_at(stage) == self._plan.clients)

    async def _listen(self, client: Child) -> None:
        while line := await client.report():
            snapshot = msgspec.json.decode(line, type=Snapshot)
            async with self._changed:
                self._board.on_snapshot(snapshot)
                self._changed.notify_all()

    async def _sample(self) -> None:
        while self._board.stopped_at is None:
            await asyncio.sleep(SAMPLE_S)
            self._board.on_sample(self._now())

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOW_S)
            self._view.show(self._board, self._now())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._on_done)
        self._tasks.append(task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._net.fail(error)
