"""The messages of zgossip as bytes."""

import pytest

from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX
from tests.support.gossip import is_wellformed


@pytest.mark.parametrize(
    ("frame", "read"),
    [
        ("aaa00101", (wire.Kind.HELLO, b"", b"")),
        ("aaa00301", (wire.Kind.PING, b"", b"")),
        ("aaa00401", (wire.Kind.PONG, b"", b"")),
        ("aaa00501", (wire.Kind.INVALID, b"", b"")),
        ("aaa0020105622f6f6e65000000013100000000", (wire.Kind.PUBLISH, b"b/one", b"1")),
        ("aaa00201016b0000000000000000", (wire.Kind.PUBLISH, b"k", b"")),
        ("aaa002010374746c0000000176000003e8", (wire.Kind.PUBLISH, b"ttl", b"v")),
    ],
)
def test_recorded_message_is_read(frame, read):
    assert wire.read(bytes.fromhex(frame)) == read


@pytest.mark.parametrize(
    "frame",
    [
        "", "aa", "aaa002", "aaa00201", "aaa10101", "aaa00901", "aaa00102", "aaa0010100",
        "aaa002020178000000013200000000",
        "aaa00201056b65", "aaa0020101", "aaa002010178", "aaa00201017800000001", "aaa0020101780000000132", "00",
        "aaa002010178000000013200000000ff", "aaa002010178ffffffff3200000000", "aaa002010000000001310000000000",
        "aaa00201020078000000013200000000", "aaa00201017800000002003200000000",
    ],
)  # fmt: skip
def test_anything_else_is_malformed(frame):
    with pytest.raises(wire.Malformed):
        wire.read(bytes.fromhex(frame))


@pytest.mark.parametrize("key", [b"k", b"\xff" * KEY_BYTES_MAX])
@pytest.mark.parametrize("value", [b"", b"1", b"x" * VALUE_BYTES_MAX])
def test_what_is_written_is_read(key, value):
    assert is_wellformed(wire.publish(key, value))
    assert wire.read(wire.publish(key, value)) == (wire.Kind.PUBLISH, key, value)


def test_what_is_too_long_is_malformed():
    longest = wire.publish(b"k", b"x" * VALUE_BYTES_MAX)
    longer = longest[:6] + (VALUE_BYTES_MAX + 1).to_bytes(4, "big") + b"x" + longest[10:]
    with pytest.raises(wire.Malformed):
        wire.read(longer)
