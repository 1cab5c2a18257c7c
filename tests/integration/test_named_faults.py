"""Faults of the matrix are named by an eye beside the net, of real processes, through the harness of `faults --named`.

No test asserts how fast something is: within how many seconds is told by `docs/diagnoses.md`.
"""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from braidmq.lab.processes.child import BRAIDMQ
from braidmq.monitor.finding import Kind
from faults import naming, wire
from faults.expected import EXPECTED
from faults.eye import OPTIONS, Eye
from faults.judging import NEVER
from faults.loaded import Shape
from faults.net import FaultNet
from faults.runner import Options
from faults.scenarios import SCENARIOS
from faults.wire import Rule, Wire
from tests.support.processes import wait_until

SMALL = Shape(workers=2, clients=1, client_processes=1)


class Watched:
    """A small net, and an eye that watches it."""

    def __init__(self, stack, directory):
        names = [f"b{number + 1}" for number in range(SMALL.brokers)]
        self.wire = None if wire.missing() else stack.enter_context(Wire(names))
        self.net = stack.enter_context(FaultNet(directory, SMALL, wire=self.wire))
        self.net.start()
        first, *rest = OPTIONS
        command = [*BRAIDMQ, first, "--join", self.net.live.join("observer"), *rest]
        self.eye = stack.enter_context(Eye(self.net.launch("eye", command, talks=True)))
        self.eye.wait_until_calm()

    def names(self, kinds, who):
        """Wait until a fault is named."""
        wait_until(
            lambda: any(each.kind in kinds and each.who == (who,) for each in self._newest()),
            f"{kinds} of {who} is named",
        )

    def is_well(self):
        """Wait until nothing is wrong any more."""
        self.net.wait_until_sound()
        wait_until(lambda: self.eye.glances[-1].health.startswith("all is well"), "all is well again")

    def _newest(self):
        return self.eye.glances[-1].findings


@pytest.fixture
def watched(tmp_path):
    with ExitStack() as stack:
        yield Watched(stack, tmp_path)


@pytest.mark.nightly
def test_a_killed_broker_a_stopped_worker_and_a_broker_that_is_cut_off_are_named(watched):
    net = watched.net
    net.kill("b1")
    watched.names(EXPECTED["kill-broker"].kinds, "b1")
    net.start_broker("b1")
    watched.is_well()
    net.stop("w1")
    watched.names(EXPECTED["block-worker"].kinds, "w1")
    net.go_on("w1")
    watched.is_well()
    if watched.wire is None:
        pytest.skip(f"nobody can be cut off here: {wire.missing()}")
    watched.wire.rule(Rule(target="b2", loss=1.0), Rule(source="b2", loss=1.0))
    watched.names((Kind.BROKER_SILENT,), "b2")
    watched.wire.rule()
    watched.is_well()


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["stop-broker", "block-worker", "partition", "all-down"])
def test_a_row_is_watched_and_its_fault_named(name):
    scenario = SCENARIOS[name]
    if scenario.wired and (why := wire.missing()):
        pytest.skip(why)
    row = naming.run(replace(scenario, shape=SMALL, after_s=1.0), Options(runs=1, peak=100.0, length_s=10.0))
    assert row.figures["named_s"] != NEVER, naming.told(row)
    assert (row.runs, row.kinds) == (1, [str(kind) for kind in EXPECTED[name].kinds])
