"""A net of real processes under load, for tests that break it: each checks the invariants at its end."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from braidmq import Node
from braidmq.lab.simulation.checkers import violations
from braidmq.lab.simulation.record import Execution
from faults import worker
from faults.journal import Reader, path_of
from faults.live_net import LiveNet
from tests.support.async_tests import until
from tests.support.load import Load, errors

BROKERS = ("b1", "b2", "b3")
WORKERS = ("w1", "w2", "w3")

ROOT = Path(__file__).parents[2]


class BrokenNet:
    """Three brokers and three workers as processes, and a load on them from this one."""

    def __init__(self, directory, brokers=BROKERS):
        self.net = LiveNet(directory / "net")
        self.journal = directory / "journal"
        self.journal.mkdir()
        for name in brokers:
            self.net.add_broker(name)
        for name in WORKERS:
            self.net.add_node(name, serves=["s"])
        self.net.add_node("client", calls=["s"])
        self.net.add_node("observer", observe=True)
        self.children = {}
        self._lives = dict.fromkeys(WORKERS, 0)

    def start(self):
        for name in BROKERS:
            self.start_broker(name)
        for name in WORKERS:
            self.start_worker(name)
        self.net.wait_for_workers("s", workers=len(WORKERS))

    def start_broker(self, name):
        self.children[name] = self.net.broker(name)

    def start_worker(self, name):
        self._lives[name] += 1
        environment = worker.environment(worker.Plan(str(self.journal), life=self._lives[name]))
        self.children[name] = self.net.serve("faults.worker:node", name=name, cwd=ROOT, env=environment)

    async def back(self, *brokers):
        """Wait until every worker is ready at `brokers`."""
        await asyncio.to_thread(self.net.wait_for_workers, "s", *brokers, workers=len(WORKERS))

    def read_executions(self, record):
        record.executions.extend(Reader(self.journal).entries(Execution))

    def ran_on(self, name):
        """Whether a worker is running something new, from now on."""
        path = path_of(self.journal, Execution, name, self._lives[name])

        def size():
            return path.stat().st_size if path.exists() else 0

        seen = size()
        return lambda: size() > seen


@asynccontextmanager
async def under_load(directory, *, settings=None, **options):
    """Run the net and a load by a client with `settings`; afterwards everything must have ended, in order."""
    broken = BrokenNet(directory)
    try:
        await asyncio.to_thread(broken.start)
        async with Node(broken.net.join("client"), settings=settings) as client:
            await until(lambda: all(broker.state == "up" for broker in client.brokers))
            load = Load(client)
            async with load.running(**options) as outcomes:
                await load.answered(outcomes)
                yield broken, load, outcomes
                await load.answered(outcomes)
        broken.read_executions(load.record)
        assert violations(load.record) == []
        ran = len(load.record.executions)
        assert ran >= len(outcomes), f"{ran} executions for {len(outcomes)} outcomes; errors: {errors(outcomes)}"
    finally:
        await asyncio.to_thread(broken.net.close)
