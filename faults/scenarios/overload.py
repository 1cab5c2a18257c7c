"""Clients ask for more than the workers can do."""

from collections.abc import Callable

from faults.loaded import Shape
from faults.scenario import Run, Scenario

SLOW = Shape(work_s=0.1, concurrency=2)
"""Workers that do 200 requests in a second, whatever the machine: it is they that are overloaded."""


def ask(times: float) -> Callable[[Run], None]:
    """Return what asks for so many times of the peak."""

    def act(run: Run) -> None:
        net = run.net
        memory: list[dict[str, int]] = []
        run.load(run.peak * times)
        run.begin()
        for _ in range(4):
            run.last(run.length_s / 4)
            memory.append({name: net.children[name].rss_bytes for name in net.brokers})
        run.heal()
        run.load(run.rate)
        grown = max(memory[3][name] - memory[1][name] for name in net.brokers)
        run.figures["memory_growth_mib"] = grown / 2**20
        run.figures["memory_mib"] = max(memory[3].values()) / 2**20

    return act


SCENARIOS = tuple(
    Scenario(
        f"overload-{times}",
        f"{times} times the peak is asked for",
        f"goodput >= {100 * least:g} % of the peak; memory flat; normal within 10 s",
        ask(times),
        most={"lost": 0, "recovery_s": 10.0, "memory_growth_mib": 8.0},
        least={"goodput": least},
        length_s=30.0,
        quick_s=20.0,
        runs=5,
        after_s=12.0,
        shape=SLOW,
    )
    for times, least in ((2, 0.9), (10, 0.8))
)
