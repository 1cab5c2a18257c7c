"""A net of real processes under load, for tests that break it: each checks I1 to I5 at its end."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

from async_tests import until
from braidmq import Node
from invariants import Execution, violations
from load import Load, errors
from processes import LiveNet

BROKERS = ("b1", "b2", "b3")
WORKERS = ("w1", "w2", "w3")

TESTS = Path(__file__).parent


class Faults:
    """Three brokers and three workers as processes, and a load on them from this one."""

    def __init__(self, directory, brokers=BROKERS):
        self.net = LiveNet(directory / "net")
        self.executions = directory / "executions"
        self.executions.touch()
        for name in brokers:
            self.net.add_broker(name)
        for name in WORKERS:
            self.net.add_node(name, serves=["s"])
        self.net.add_node("client", calls=["s"])
        self.net.add_node("observer", observe=True)
        self.children = {}

    def start(self):
        for name in BROKERS:
            self.start_broker(name)
        for name in WORKERS:
            self.start_worker(name)
        self.net.wait_for_workers("s", workers=len(WORKERS))

    def start_broker(self, name):
        self.children[name] = self.net.broker(name)

    def start_worker(self, name):
        environment = {"FAULT_RECORD": str(self.executions), "PYTHONPATH": str(TESTS)}
        self.children[name] = self.net.serve("fault_worker:node", name=name, cwd=TESTS, env=environment)

    async def back(self, *brokers):
        """Wait until every worker is ready at `brokers`."""
        await asyncio.to_thread(self.net.wait_for_workers, "s", *brokers, workers=len(WORKERS))

    def read_executions(self, record):
        for line in self.executions.read_text().splitlines():
            seen = json.loads(line)
            seen["payload"], seen["id"] = seen["payload"].encode(), bytes.fromhex(seen["id"])
            record.executions.append(Execution(**seen))

    def ran_on(self, name):
        """Whether a worker is running something new, from now on."""
        seen = self.executions.stat().st_size

        def more():
            with self.executions.open("rb") as executions:
                executions.seek(seen)
                return f'"{name}"'.encode() in executions.read()

        return more


@asynccontextmanager
async def under_load(directory, **options):
    """Run the net and a load; afterwards everything must have ended, in order."""
    faults = Faults(directory)
    try:
        await asyncio.to_thread(faults.start)
        async with Node(faults.net.join("client")) as client:
            await until(lambda: all(broker.state == "up" for broker in client.brokers))
            load = Load(client)
            async with load.running(**options) as outcomes:
                await load.answered(outcomes)
                yield faults, load, outcomes
                await load.answered(outcomes)
        faults.read_executions(load.record)
        assert violations(load.record) == []
        ran = len(load.record.executions)
        assert ran >= len(outcomes), f"{ran} executions for {len(outcomes)} outcomes; errors: {errors(outcomes)}"
    finally:
        await asyncio.to_thread(faults.net.close)
