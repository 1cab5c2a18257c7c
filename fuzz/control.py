"""What bytes make of control messages and of the errors in replies.

What is decoded is encoded and decoded as the same; all else raises ProtocolError.
"""

import msgspec

from braidmq.errors import ProtocolError
from braidmq.wire.control import KINDS, decode_control, decode_failure, encode_control
from braidmq.wire.envelope import COMMAND_AT, COMMON, VERSION
from fuzz.vectors import vectors

BYTES_MAX = 1_000

_NUMBERS = sorted(KINDS)


def one(data: bytes) -> int:
    """Read some bytes as a message, as the body of one, and as an error.

    Returns:
        How many of them were one.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    number, body = _NUMBERS[(data[0] if data else 0) % len(_NUMBERS)], data[1:]
    message = COMMON.pack(COMMON.size + len(body), VERSION, number, 0, 0, 0) + body
    return _message(data) + _message(message) + _failure(data)


def _message(message: bytes) -> bool:
    try:
        found = decode_control(message)
    except ProtocolError as error:
        _check_text(error)
        return False
    if found is None:
        return False
    assert message[COMMAND_AT] == found.NUMBER
    assert decode_control(encode_control(found, 0)) == found, "something else is encoded"
    return True


def _failure(payload: bytes) -> bool:
    try:
        found = decode_failure(payload)
    except ProtocolError as error:
        _check_text(error)
        return False
    again = msgspec.msgpack.encode(found)
    assert msgspec.msgpack.encode(decode_failure(again)) == again, "another error is encoded"
    return True


def _check_text(error: ProtocolError) -> None:
    assert len(str(error)) < 300, "repeats what a peer has said at length"


def _seeds() -> tuple[bytes, ...]:
    messages = vectors("control")
    bodies = [
        bytes((_NUMBERS.index(each[COMMAND_AT]),)) + each[COMMON.size :]
        for each in messages
        if each[COMMAND_AT] in KINDS
    ]
    return (*messages, *bodies, *vectors("malformed"))


SEEDS = _seeds()
"""Messages to begin with, bodies of them, and what is none."""
