"""What goes through a broker, read off its frames."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from braidmq.lab.simulation.record import Passage
from braidmq.wire.envelope import CONTROL_FIRST, MAJOR, PREFIX_BYTES, Flag, command_of, head_of, major_of

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)


def passages(
    messages: Iterable[bytes], at: float, broker: str, way: Literal["in", "out"], peer: str
) -> Iterator[Passage]:
    """Yield the exchange messages among `messages` as a record keeps them; what is cut off is none."""
    for message in messages:
        if command_of(message) >= CONTROL_FIRST or major_of(message) != MAJOR or len(message) < PREFIX_BYTES:
            continue
        head = head_of(message)
        yield Passage(
            at,
            broker,
            way,
            peer,
            head.command,
            head.id,
            message[head.sender_at : head.receiver_at].decode("ascii", "replace"),
            bool(head.flags & _DUPLICATE),
            head.retry_count,
            head.code,
            message[PREFIX_BYTES : head.sender_at].decode("ascii", "replace"),
            head.tag,
            message[head.receiver_at : head.rest_at].decode("ascii", "replace"),
        )
