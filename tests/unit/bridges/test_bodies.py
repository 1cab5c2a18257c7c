"""Several frames as one payload, and back."""

import msgspec
import pytest

from braidmq.bridges.bodies import to_body, to_payload
from braidmq.bridges.limits import FRAMES_MAX
from braidmq.errors import ServiceError


@pytest.mark.parametrize("body", [[], [b""], [b"14"], [b"a", b"", b"b"], [b"x"] * FRAMES_MAX])
def test_any_number_of_frames_goes_there_and_back_as_an_array(body):
    payload = to_payload(body, "msgpack")
    assert isinstance(payload, bytes)
    assert to_body(payload, "msgpack") == body


@pytest.mark.parametrize("payload", [b"", b"14", b"\x90"])
def test_one_frame_is_the_payload_as_it_is(payload):
    assert to_payload([payload], "one") == payload
    assert to_body(payload, "one") == [payload]
    assert to_payload([], "one") == b""


def test_parts_are_an_array_in_any_case():
    assert to_payload([b"14"], "one", parts=True) == b"\x91\xc4\x0214"


@pytest.mark.parametrize(
    "payload",
    [b"", b"14", b"\x91\x01", b"\x91\xa1x", b"\x81\xc4\x01a\xc4\x01b", b"\x92\xc4\x00",
     msgspec.msgpack.encode([b""] * (FRAMES_MAX + 1)), msgspec.msgpack.encode([b""] * 70_000)],
)  # fmt: skip
def test_what_is_no_array_of_so_many_frames_has_no_body_and_was_not_run(payload):
    error = to_body(payload, "msgpack")
    assert isinstance(error, ServiceError)
    assert (error.code, error.maybe_executed) == ("INVALID", False)


def test_several_frames_are_no_payload_unless_it_is_told_how():
    error = to_payload([b"1", b"2"], "one")
    assert isinstance(error, ServiceError)
    assert (error.code, error.maybe_executed) == ("INVALID", False)
