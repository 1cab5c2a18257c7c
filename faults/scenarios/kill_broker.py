"""A broker is killed, and started anew afterwards; another one each time."""

from faults.scenario import FLAWLESS, Run, Scenario


def act(run: Run) -> None:
    """Kill the broker whose turn it is."""
    victim = run.net.next_broker()
    run.began = run.net.kill(victim)
    run.last(1.0)
    run.net.start_broker(victim)
    run.healed = run.began


SCENARIOS = (
    Scenario(
        "kill-broker",
        "kill -9 of a broker",
        "0 lost, 0 errors; affected p99 <= 250 ms",
        act,
        most={**FLAWLESS, "affected_p99_ms": 250.0},
        rival=True,
    ),
)
