"""A broker is cut off: packets from it, to it, or both are lost, and no connection ends."""

from collections.abc import Callable
from time import monotonic

from braidmq.lab.processes.waiting import wait_until
from faults.scenario import FLAWLESS, Run, Scenario
from faults.wire import Rule


def cut(*, to: bool, back: bool) -> Callable[[Run], None]:
    """Return what cuts the broker whose turn it is off."""

    def act(run: Run) -> None:
        net, wire = run.net, run.net.wire
        assert wire is not None
        victim = net.next_broker()
        run.began = net.hurt(victim, "partition")
        wire.rule(*[Rule(target=victim, loss=1.0)] * to, *[Rule(source=victim, loss=1.0)] * back)
        run.last(run.length_s)
        wire.rule()
        net.heal(victim)
        run.heal()

        def linked() -> bool:
            reports = net.live.reports()
            return len(reports) == len(net.brokers) and all(
                row.link in ("", "up") for report in reports.values() for row in report.brokers
            )

        def merged() -> bool:
            views = net.views()
            return len(views) == len(net.brokers) * (len(net.brokers) - 1) and set(views.values()) == {"alive"}

        wait_until(linked, f"{victim} is connected to the others", poll_s=0.05)
        linked_at = monotonic()
        wait_until(merged, f"{victim} is alive to the others", poll_s=0.05)
        run.figures["linked_after_s"] = linked_at - run.healed
        run.figures["merged_after_s"] = monotonic() - linked_at

    return act


_MOST = {**FLAWLESS, "avoided_s": 3.5, "merged_after_s": 3.0}

SCENARIOS = tuple(
    Scenario(
        name,
        fault,
        "0 lost, 0 errors; avoided within 3.5 s; merged 3 gossip rounds (3 s) after it is connected again",
        cut(to=to, back=back),
        most=_MOST,
        length_s=15.0,
        quick_s=6.0,
        runs=10,
        after_s=8.0,
        wired=True,
    )
    for name, fault, to, back in (
        ("partition", "a broker is partitioned off", True, True),
        ("partition-to", "nothing gets through to a broker", True, False),
        ("partition-from", "nothing gets through from a broker", False, True),
    )
)
