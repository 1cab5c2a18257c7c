"""A thousand nodes lose a broker at the same moment, and all come back to it."""

from time import monotonic

from braidmq.lab.processes.waiting import wait_until
from faults.loaded import Shape
from faults.scenario import Run, Scenario

CROWD = 1_000


def act(run: Run) -> None:
    """Kill a broker that everybody is connected to, and start it anew."""
    net = run.net
    victim = net.next_broker()
    run.began = net.kill(victim)
    run.last(1.0)
    net.start_broker(victim)
    run.heal()
    wait_until(lambda: net.crowd_connected() == CROWD, f"all {CROWD} are back", timeout=60.0, poll_s=0.1)
    run.figures["back_after_s"] = monotonic() - run.healed


SCENARIOS = (
    Scenario(
        "reconnect",
        "1,000 nodes reconnect at once",
        "all back <= 10 s",
        act,
        most={"lost": 0, "errors": 0, "back_after_s": 10.0},
        load=0.0,
        runs=5,
        shape=Shape(workers=1, clients=2, crowd=CROWD),
    ),
)
