"""What is measured: nets of some shape, and on each of them loads of some kind."""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec

KIB: Final = 1024

PAYLOADS_BYTES: Final = (64, 4 * KIB, 64 * KIB)

IN_FLIGHT: Final = (1, 64, 512)


class Shape(msgspec.Struct, frozen=True, order=True):
    """How many processes there are of each kind. What knows no brokers has workers that clients connect to."""

    clients: int = 1
    workers: int = 1
    brokers: int = 1

    def __str__(self) -> str:
        return f"{self.clients} x {self.workers} over {self.brokers}"


class Cell(msgspec.Struct, frozen=True):
    """One load on one net.

    Attributes:
        payload_bytes: the size of each request and of each reply.
        in_flight: calls that all clients together have under way (closed loop); 0 for an open loop.
        rate: calls that begin each second, whether or not others have ended (open loop); 0 for a closed loop.
    """

    shape: Shape
    payload_bytes: int
    in_flight: int = 0
    rate: float = 0.0

    @property
    def load(self) -> str:
        """What the clients do, in words."""
        return f"{self.rate:,.0f}/s" if self.rate else f"{self.in_flight} in flight"

    def __str__(self) -> str:
        return f"{self.shape}, {size(self.payload_bytes)}, {self.load}"


def size(bytes_: int) -> str:
    """Return a number of bytes as people write it."""
    return f"{bytes_ // KIB} KiB" if bytes_ >= KIB and bytes_ % KIB == 0 else f"{bytes_} B"


def by_shape(cells: Iterable[Cell]) -> list[tuple[Shape, list[Cell]]]:
    """Return the cells of each net, so that a net is started once for all of them."""
    return [(shape, list(group)) for shape, group in groupby(sorted(cells, key=_shape), key=_shape)]


def _shape(cell: Cell) -> Shape:
    return cell.shape


_ONE: Final = Shape()
_WIDE: Final = (Shape(8, 8, 1), Shape(8, 8, 2), Shape(8, 8, 3))

CELLS: Final[tuple[Cell, ...]] = (
    *(Cell(_ONE, payload, in_flight) for payload in PAYLOADS_BYTES for in_flight in IN_FLIGHT),
    *(Cell(_ONE, 4 * KIB, rate=rate) for rate in (500.0, 2_000.0)),
    *(Cell(shape, 4 * KIB, in_flight) for shape in _WIDE for in_flight in (64, 512)),
)
"""All that `braidmq bench` measures, if it is not told otherwise."""

QUICK: Final[tuple[Cell, ...]] = (
    *(Cell(_ONE, 4 * KIB, in_flight) for in_flight in IN_FLIGHT),
    Cell(_WIDE[2], 4 * KIB, 64),
)
"""The loads that BraidMQ is made for."""
