"""Options that hold for several services, and what no option may have."""

import msgspec
import pytest

from braidmq.bridges.http import callers_file
from braidmq.bridges.http.bridge import MediaType
from braidmq.bridges.malamute.options import Service
from braidmq.bridges.options import Pattern, told_of
from braidmq.bridges.zgossip.options import Text, ZgossipOptions


@pytest.mark.parametrize(
    ("service", "told"), [("a.b", 1), ("a.bc", 2), ("a.x", 3), ("a.", 3), ("a", 4), ("other", 4), ("", 4)]
)
def test_name_goes_before_patterns_and_the_longest_pattern_before_others(service, told):
    assert told_of({"*": 4, "a.*": 3, "a.b*": 2, "a.b": 1}, service, 0) == told


def test_what_is_told_of_others_says_nothing():
    assert told_of({"a.b": 1, "b*": 2}, "a.bc", 0) == 0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Pattern, "orders.*"),
        (Service, "pricing"),
        (MediaType, "text/plain"),
        (callers_file.Digest, "0" * 64),
        (Text, "tcp://127.0.0.1:1"),
        (ZgossipOptions, {"net": "a"}),
        (ZgossipOptions, {"put_prefix": "a"}),
        (ZgossipOptions, {"publish": {"http": ["x"]}}),
    ],
)
def test_end_of_a_line_is_no_part_of_a_value(kind, value):
    msgspec.convert(value, kind)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(_with_line_end(value), kind)


def _with_line_end(value):
    if isinstance(value, dict):
        return {key if isinstance(each, str) else f"{key}\n": _with_line_end(each) for key, each in value.items()}
    return f"{value}\n" if isinstance(value, str) else value
