"""The same net with three NATS servers in the place of brokers, under the same load and the same fault."""

from pathlib import Path

from braidmq.lab.simulation.checkers import ends_once
from braidmq.lab.simulation.record import Execution, Record
from faults.journal import path_of
from faults.loaded import Loaded, Shape
from faults.nats_cluster import NAMES, NatsCluster


class RivalNet(Loaded):
    """See Loaded. Connections are encrypted and both ends show certificates, as with us.

    Args:
        callers: `plain` or `retrying`: see nats_caller.py.
    """

    def __init__(self, directory: Path, shape: Shape, callers: str) -> None:
        super().__init__(directory, shape, {})
        self.callers = f"faults.nats_caller:{callers}"
        self.brokers = list(NAMES)
        self._turns = iter(NAMES * 1_000)
        self._cluster = NatsCluster(directory / "cluster", tls=True)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._cluster.close()

    def start(self) -> None:
        """See Loaded."""
        from faults import nats_caller, nats_worker

        self._cluster.start()
        for name in self.workers:
            record = path_of(self.journal, Execution, name, self.new_life(name))
            self.launch(name, nats_worker.command(self._cluster, name, record, work_s=self.shape.work_s))
        self.wait_until_sound()
        self.start_clients({name: nats_caller.address(self._cluster, name) for name in self.clients})

    def next_broker(self) -> str:
        """See Loaded."""
        return next(self._turns)

    def kill(self, name: str) -> float:
        """See Loaded."""
        at = self.hurt(name, "kill")
        self._cluster.kill(name)
        return at

    def start_broker(self, name: str, *, wait: bool = True) -> None:
        """See Loaded."""
        self._cluster.restart(name)
        self.heal(name)

    def wait_until_sound(self) -> None:
        """Wait until every server knows all workers. Where the clients are is for nats-py to say."""
        self._cluster.wait_for_workers(self.shape.workers)

    def judge(self, record: Record) -> list[str]:
        """Its messages name no sender and no request, so that most checkers have nothing to go by."""
        return [str(each) for each in ends_once.check(record)]
