"""All brokers are restarted, one after the other, as docs/operations.md says."""

from faults.scenario import FLAWLESS, Run, Scenario


def act(run: Run) -> None:
    """Restart each broker, and wait until all agree and all workers are ready."""
    run.begin()
    for name in run.net.brokers:
        run.net.drain(name)
        run.net.start_broker(name)
        run.net.wait_until_sound()
        run.breathe()
    run.heal()


SCENARIOS = (
    Scenario(
        "roll",
        "rolling restart of all brokers",
        "0 failures",
        act,
        most={**FLAWLESS, "flagged": 0},
        runs=10,
    ),
)
