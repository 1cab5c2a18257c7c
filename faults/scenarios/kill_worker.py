"""A worker is killed while it runs a request."""

from faults.scenario import FLAWLESS, Run, Scenario


def act(run: Run) -> None:
    """Kill the worker whose turn it is."""
    victim = run.net.next_worker()
    run.net.wait_until_it_works(victim)
    run.began = run.net.kill(victim)
    run.last(1.0)
    run.net.start_worker(victim)
    run.healed = run.began


SCENARIOS = (
    Scenario(
        "kill-worker",
        "kill -9 of a worker in its job",
        "retried elsewhere within 100 ms, flagged",
        act,
        most={**FLAWLESS, "retried_after_ms": 100.0},
        least={"flagged": 1},
    ),
)
