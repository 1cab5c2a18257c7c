"""What goes through a broker, read off its frames."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from braidmq.simulation.record import Passage
from braidmq.wire.envelope import CONTROL_FIRST, MAJOR, PREFIX, PREFIX_BYTES, Flag

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)


def passages(
    messages: Iterable[bytes], at: float, broker: str, way: Literal["in", "out"], peer: str
) -> Iterator[Passage]:
    """Yield the exchange messages among `messages` as a record keeps them; what is cut off is none."""
    for message in messages:
        if message[5] >= CONTROL_FIRST or message[4] >> 4 != MAJOR or len(message) < PREFIX_BYTES:
            continue
        fields = PREFIX.unpack_from(message)
        _, _, command, flags, retry_count, _, _, tag, id_, service_bytes, sender_bytes, receiver_bytes, code, _, _ = (
            fields
        )
        sender_at = PREFIX_BYTES + service_bytes
        receiver_at = sender_at + sender_bytes
        yield Passage(
            at,
            broker,
            way,
            peer,
            command,
            id_,
            message[sender_at:receiver_at].decode("ascii", "replace"),
            bool(flags & _DUPLICATE),
            retry_count,
            code,
            message[PREFIX_BYTES:sender_at].decode("ascii", "replace"),
            tag,
            message[receiver_at : receiver_at + receiver_bytes].decode("ascii", "replace"),
        )
