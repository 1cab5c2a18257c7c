"""All packets have a chance to be lost, between nodes and brokers and among brokers."""

from collections.abc import Callable

from faults.scenario import Run, Scenario
from faults.wire import Rule


def lose(share: float) -> Callable[[Run], None]:
    """Return what loses a share of the packets."""

    def act(run: Run) -> None:
        net, wire = run.net, run.net.wire
        assert wire is not None
        run.begin()
        for name in net.brokers:
            net.hurt(name, "loss")
        wire.rule(Rule(loss=share))
        run.last(run.length_s)
        wire.rule()
        for name in net.brokers:
            net.heal(name)
        run.heal()

    return act


SCENARIOS = tuple(
    Scenario(
        f"lose-{percent}",
        f"{percent} % of the packets are lost",
        f"{100 * least:g} % succeed within 5 s",
        lose(percent / 100),
        most={"lost": 0, "recovery_s": 10.0},
        least={"success": least},
        length_s=60.0,
        quick_s=8.0,
        runs=5,
        after_s=12.0,
        wired=True,
        delay_unseen_s=1.0,
    )
    for percent, least in ((1, 0.9999), (5, 0.999), (20, 0.99))
)
