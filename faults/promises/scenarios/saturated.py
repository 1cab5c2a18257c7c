"""Many calls over saturated workers, while a broker is killed every 5 s: none is lost, none is run again unsaid."""

from functools import partial
from itertools import cycle
from time import monotonic, sleep
from typing import Final

from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

WORKERS: Final = 4
CALLERS: Final = 3
KILL_EVERY_S: Final = 5.0
DOWN_S: Final = 0.5
TIMEOUT_S: Final = 20.0

LASTS_S_MAX: Final = 900.0
"""How long all calls may take together."""

SHORT: Final = Ask(work_s=0.001, spread_s=0.004, long_s=0.3, long_share=0.02, timeout_s=TIMEOUT_S)
SLOW: Final = Ask(work_s=0.05, spread_s=1.45, timeout_s=TIMEOUT_S)
"""Jobs of some milliseconds, one of fifty of which takes long: what waits behind it is overtaken elsewhere. As many
calls are under way as keep all places busy, and not many more: else no second copy finds a place before the first."""


def run(calls: int, in_flight: int, ask: Ask, stage: Stage) -> None:
    """Make so many calls, two or three brokers in turn."""
    net = stage.net
    workers = [f"w{number}" for number in range(1, WORKERS + 1)]
    callers = [f"c{number}" for number in range(1, CALLERS + 1)]
    net.open(3 - stage.number % 2, [*workers, *callers])
    for worker in workers:
        net.start_worker(worker)
    net.ready(WORKERS)
    for name in callers:
        net.start_caller(name)
    began = monotonic()
    for name in callers:
        net.callers[name].drive(f"{name}-", ask, in_flight=in_flight, for_s=LASTS_S_MAX, count=-(-calls // CALLERS))
    kills = 0
    for victim in cycle(net.brokers):
        next_at = monotonic() + KILL_EVERY_S
        if not any(net.callers[name].wait(max(0.0, next_at - monotonic())) for name in callers):
            break
        assert monotonic() < began + LASTS_S_MAX, f"the calls have not ended within {LASTS_S_MAX:g} s"
        net.kill(victim)
        sleep(DOWN_S)
        net.start_broker(victim)
        kills += 1
    took_s = monotonic() - began
    net.end(stage.evidence, TIMEOUT_S)
    net.judge(stage.evidence)
    stage.evidence.note(f"{len(net.calls)} calls in {took_s:.0f} s over {len(net.brokers)} brokers, {kills} kills")


BOUNDS: Final = (
    Bound("unflagged", most=0, of="calls"),
    Bound("lost", most=0, of="calls"),
    Bound("failed", most=0, of="calls"),
    Bound("ended twice", most=0, of="calls"),
    Bound("wrong", most=0, of="calls"),
    Bound("untold", most=0, of="calls"),
    Bound("run twice", of="calls"),
)

PROMISES: Final = (
    Promise(
        "saturated",
        "100,000 calls over 4 places, a broker killed every 5 s: none lost, none run again unsaid",
        partial(run, 100_000, 3, SHORT),
        BOUNDS,
    ),
    Promise(
        "saturated-slow",
        "the same with 600 calls of 50 ms to 1.5 s",
        partial(run, 600, 2, SLOW),
        BOUNDS,
    ),
)
