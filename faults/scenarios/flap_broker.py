"""A broker comes and goes: two seconds up, two seconds down."""

from faults.scenario import Run, Scenario

PHASE_S = 2.0


def act(run: Run) -> None:
    """Let the broker whose turn it is flap."""
    victim = run.net.next_broker()
    run.begin()
    for _ in range(max(1, int(run.length_s / (2 * PHASE_S)))):
        run.net.kill(victim)
        run.last(PHASE_S)
        run.net.start_broker(victim)
        run.last(PHASE_S)
        run.breathe()
    run.heal()


SCENARIOS = (
    Scenario(
        "flap-broker",
        "a broker flaps, 2 s up, 2 s down",
        ">= 99.9 % succeed",
        act,
        most={"lost": 0, "recovery_s": 10.0},
        least={"success": 0.999},
        length_s=600.0,
        quick_s=12.0,
        runs=1,
        after_s=8.0,
    ),
)
