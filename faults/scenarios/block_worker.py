"""A worker's event loop is blocked, as by a handler that computes: the process lives, and says nothing."""

import signal

from faults.scenario import FLAWLESS, Run, Scenario


def act(run: Run) -> None:
    """Block the worker whose turn it is."""
    victim = run.net.next_worker()
    run.began = run.net.hurt(victim, "pause")
    run.net.children[victim].send_signal(signal.SIGUSR1)
    run.last(run.length_s)
    run.net.heal(victim)
    run.heal()


SCENARIOS = (
    Scenario(
        "block-worker",
        "a worker's event loop is blocked",
        "0 lost, 0 errors; no new work to it within 3.5 s; its jobs run twice only flagged",
        act,
        most={**FLAWLESS, "avoided_s": 3.5},
        length_s=10.0,
        quick_s=5.0,
        runs=10,
        after_s=8.0,
    ),
)
