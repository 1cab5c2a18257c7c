"""All packets travel 150 to 250 ms, each by itself, so that they overtake each other."""

from faults.scenario import Run, Scenario
from faults.wire import Rule


def act(run: Run) -> None:
    """Delay all packets; brokers must not take each other for dead."""
    wire = run.net.wire
    assert wire is not None
    wire.rule(Rule(delay_s=0.2, jitter_s=0.05))
    run.begin()
    for _ in range(int(run.length_s)):
        run.last(1.0)
        run.breathe()
    wire.rule()
    run.heal()


SCENARIOS = (
    Scenario(
        "delay",
        "packets are delayed by 200 +- 50 ms and reordered",
        "no broker is taken for dead",
        act,
        most={"lost": 0, "errors": 0, "deaths": 0},
        length_s=3600.0,
        quick_s=20.0,
        runs=1,
        rate_max=20.0,
        after_s=12.0,
        wired=True,
        delay_unseen_s=0.3,
    ),
)
