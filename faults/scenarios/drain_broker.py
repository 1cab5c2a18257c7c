"""A broker is ended with SIGTERM, and started anew afterwards."""

from faults.scenario import FLAWLESS, Run, Scenario


def act(run: Run) -> None:
    """Drain the broker whose turn it is."""
    victim = run.net.next_broker()
    run.begin()
    run.figures["gone_s"] = run.net.drain(victim)
    run.net.start_broker(victim)
    run.healed = run.began


SCENARIOS = (
    Scenario(
        "drain-broker",
        "SIGTERM of a broker",
        "0 errors, 0 flagged, gone within 10 s",
        act,
        most={**FLAWLESS, "flagged": 0, "duplicated": 0, "gone_s": 10.0},
    ),
)
