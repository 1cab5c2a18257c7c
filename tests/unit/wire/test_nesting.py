import msgspec
import pytest

from braidmq.errors import ProtocolError
from braidmq.wire.nesting import NESTING_MAX, VALUES_MAX, check_nesting

encode = msgspec.msgpack.encode

LISTS = [b"\x91", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"]
MAPS = [b"\x81\xc0", b"\xde\x00\x01\xc0", b"\xdf\x00\x00\x00\x01\xc0"]
SCALARS = [0, -1, -33, 127, 128, 2**16, 2**32, 2**63, -(2**7), -(2**15), -(2**31), -(2**63), None, True, False, 1.5]
SIZED = [size * kind for kind in ("x", b"\x91") for size in (0, 1, 31, 32, 255, 256, 2**16)]
EXTENDED = [msgspec.msgpack.Ext(5, b"\x91" * size) for size in (0, 1, 2, 4, 8, 16, 17, 255, 256, 2**16)]


def refused(body, why="deep", values_max=VALUES_MAX):
    with pytest.raises(ProtocolError, match=why):
        check_nesting(body, values_max)


@pytest.mark.parametrize("opener", LISTS + MAPS)
def test_nesting_is_bounded_whatever_it_is_made_of(opener):
    check_nesting(opener * NESTING_MAX + b"\xc0", VALUES_MAX)
    refused(opener * (NESTING_MAX + 1) + b"\xc0")
    refused(opener * 1_000_000)


def test_the_bound_holds_far_below_the_depth_that_any_interpreter_goes_down_to():
    assert NESTING_MAX < 128


@pytest.mark.parametrize("before", [*SCALARS, *SIZED, *EXTENDED, [], {}, [[1], {2: [3]}]], ids=lambda v: repr(v)[:20])
def test_what_stands_before_a_nested_value_neither_hides_it_nor_counts(before):
    deep = b"\x92" + encode(before)
    check_nesting(deep * (NESTING_MAX - 3) + b"\xc0", VALUES_MAX)
    refused(deep * (NESTING_MAX + 1) + b"\xc0")


def test_values_beside_one_another_are_not_nested():
    check_nesting(encode([[[], {}, {"a": [1]}]] * 10_000), VALUES_MAX)
    check_nesting(encode({n: [n, {"k": b"\x91" * 100}] for n in range(10_000)}), VALUES_MAX)


def test_what_looks_like_lists_in_a_text_or_in_bytes_is_none():
    check_nesting(encode([b"\x91" * 100_000, "\u0091" * 100_000, msgspec.msgpack.Ext(1, b"\x91" * 100_000)]), 4)


def test_values_are_counted_where_they_must_be_looked_at():
    body = encode([[]] * 1_000)
    check_nesting(body, 1_001)
    refused(body, why="more values", values_max=1_000)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92" * 65, b"\xdd\xff\xff\xff\xff" + b"\x90" * 100, b"\x90" * 100])
def test_what_is_not_whole_is_looked_at_as_far_as_it_goes(body):
    if body.startswith(b"\x92"):
        refused(body)
    else:
        check_nesting(body, VALUES_MAX)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_length_that_is_cut_off_ends_it(cut):
    for head in (b"\xdb", b"\xc6", b"\xc9", b"\xdd", b"\xdf", b"\xd8", b"\xcf"):
        check_nesting(
            (b"\x91" * 30 + b"\x92" + encode([[]] * 100) + head + b"\0\0\0\1\0\0\0\0\0\0\0\0")[:-cut], VALUES_MAX
        )
