"""All brokers are down for some time."""

from faults.scenario import Run, Scenario


def act(run: Run) -> None:
    """Kill all brokers, and start them all."""
    net = run.net
    run.begin()
    for name in net.brokers:
        net.kill(name)
    run.last(run.length_s)
    for name in net.brokers:
        net.start_broker(name, wait=False)
    for name in net.brokers:
        net.children[name].wait_for_line(f"{name} listens at ")
        net.heal(name)
    run.heal()


SCENARIOS = (
    Scenario(
        "all-down",
        "all brokers are down",
        "requests wait within their deadline or fail typed; <= 1.1 attempts for each afterwards",
        act,
        most={"lost": 0, "attempts_per_request": 1.1, "recovery_s": 10.0},
        length_s=10.0,
        quick_s=6.0,
        runs=5,
        after_s=12.0,
    ),
)
