"""A broker is stopped with SIGSTOP, and goes on later: it holds what it had, and all its connections."""

from faults.scenario import FLAWLESS, Run, Scenario


def act(run: Run) -> None:
    """Stop the broker whose turn it is."""
    victim = run.net.next_broker()
    run.began = run.net.stop(victim)
    run.last(run.length_s)
    run.net.go_on(victim)
    run.heal()


SCENARIOS = (
    Scenario(
        "stop-broker",
        "SIGSTOP of a broker",
        "0 lost, 0 errors; affected p99 <= 1.5 s; avoided within 3.5 s; nothing stale runs afterwards",
        act,
        most={**FLAWLESS, "affected_p99_ms": 1500.0, "avoided_s": 3.5},
        length_s=30.0,
        quick_s=6.0,
        runs=10,
        after_s=8.0,
    ),
)
