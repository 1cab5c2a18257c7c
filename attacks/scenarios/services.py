"""Names of services that a caller makes up, or that come and go."""

from functools import partial
from itertools import count
from typing import Final

from attacks.arms import Arms, said, written
from attacks.frames import cycled
from attacks.scenario import Scenario
from braidmq.wire import control
from braidmq.wire.bundle import join
from braidmq.wire.envelope import CANCEL, REQUEST, Envelope

NAMES: Final = 10_000

CHURNED: Final = 9_000


def make_up(arms: Arms) -> None:
    """Ask for services that nobody has, a new name each time, and give each request up at once."""
    numbers = count(1)

    def next_frame() -> bytes:
        messages: list[bytes] = []
        for _ in range(200):
            number = next(numbers)
            name = f"own/{number % NAMES}".encode()
            messages.append(written(Envelope(REQUEST, number.to_bytes(16), tag=number, time_ms=60_000, service=name)))
            messages.append(written(Envelope(CANCEL, number.to_bytes(16), tag=number)))
        return join(messages)[0][0]

    arms.flood(next_frame)


def churn(arms: Arms) -> None:
    """Offer many services, and take them back, again and again."""
    frames = []
    for credit in (1, 0):
        messages = [said(control.Ready(f"own/{number}", credit)) for number in range(CHURNED)]
        frames += [bundle for bundle, _ in join(messages)]
    arms.flood(cycled(frames))


_own = partial(Scenario, calls=("own/*",), serves=("own/*",))

SCENARIOS = (
    _own(
        "services-early",
        f"{NAMES:,} services are asked for that nobody has, of a broker that has just started; then workers come",
        act=make_up,
        early=True,
    ),
    _own("services-made-up", "requests for services that nobody has, each given up at once", act=make_up),
    _own("services-churn", f"{CHURNED:,} services come and go", act=churn),
)
