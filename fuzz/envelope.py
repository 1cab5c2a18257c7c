"""What bytes make of exchange messages and their extension blocks.

What is decoded is encoded as the same bytes; all else raises ProtocolError.
"""

from braidmq.errors import ProtocolError
from braidmq.wire.envelope import PREFIX_BYTES, VERSION, VERSION_AT, decode, encode, head_of
from braidmq.wire.extension import Field, decode_headers, decode_metadata, encode_headers, field_of, metadata_of
from fuzz.vectors import vectors

BYTES_MAX = 600


def one(data: bytes) -> int:
    """Read some bytes as a message, with its own length and with the right one, and as an extension block.

    Returns:
        How many of them were one.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    sized = len(data).to_bytes(4) + bytes((VERSION,)) + data[VERSION_AT + 1 :]
    return _message(data) + _message(sized) + _extension(data[1:], data[0] if data else 0)


def _message(message: bytes) -> bool:
    try:
        found = decode(message)
    except ProtocolError:
        return False
    same = message[:VERSION_AT] + bytes((VERSION,)) + message[VERSION_AT + 1 :]
    assert encode(found) == same, "something else is encoded"
    head = head_of(message)
    assert head.length == len(message) >= PREFIX_BYTES
    assert message[head.sender_at : head.receiver_at] == found.sender, "the sender is somewhere else"
    assert head.payload_bytes == len(found.payload), "the payload is as long as something else"
    _extension(found.extension, Field.HEADERS)
    return True


def _extension(block: bytes, kind: int) -> bool:
    try:
        field = field_of(block, kind)
        assert field is None or field in block
        metadata_of(block)
        headers = decode_headers(block)
        assert decode_metadata(block) == {"headers": headers}
    except ProtocolError:
        return False
    assert decode_headers(encode_headers(headers)) == headers, "other headers come out"
    return True


SEEDS = vectors("exchange", "malformed")
"""Messages to begin with, and what is none."""
