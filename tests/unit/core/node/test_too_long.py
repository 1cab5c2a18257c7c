"""Messages that are longer than a node takes: whoever has to do with them hears so, and all else goes on."""

from typing import Any

import pytest

from braidmq.errors import ServiceError
from braidmq.settings import Settings
from braidmq.wire.control import decode_failure
from braidmq.wire.envelope import CANCEL, CUT, REPLY, REQUEST, Envelope, Outcome
from tests.support.rigs.calls import reply_of

SIZE = 50_000_000


def test_a_reply_ends_its_call_with_an_error_that_says_so(make: Any) -> None:
    rig = make("a", settings=Settings(payload_bytes_max=1_024))
    id_, other = rig.call(), rig.call()
    asked, other_asked = rig["a"].requests()
    rig["a"].answer(asked, CUT, code=REPLY, time_ms=SIZE, sender=b"worker")
    error = rig.results[id_]
    assert isinstance(error, ServiceError)
    assert error.code == "RESULT_TOO_LARGE"
    assert str(SIZE) in error.message
    assert "1024" in error.message
    rig["a"].reply(other_asked, payload=b"done")
    assert reply_of(rig, other).payload == b"done"


def test_a_request_is_answered_with_an_error_that_says_so(make: Any) -> None:
    rig = make("a", settings=Settings(payload_bytes_max=1_024))
    rig.worker.offer("echo", 1)
    rig["a"].say(Envelope(CUT, bytes(16), tag=7, code=REQUEST, time_ms=SIZE, service=b"echo", sender=b"client"))
    (answer,) = rig["a"].answers()
    assert (answer.command, answer.code, answer.tag, answer.id) == (REPLY, Outcome.ERROR, 7, bytes(16))
    failure = decode_failure(answer.payload)
    assert failure.code == "REQUEST_TOO_LARGE"
    assert str(SIZE) in failure.message


@pytest.mark.parametrize("code", [0, CANCEL, 255])
def test_what_stands_for_anything_else_says_nothing(make: Any, code: int) -> None:
    rig = make("a")
    rig["a"].say(Envelope(CUT, bytes(16), tag=7, code=code))
    assert rig["a"].answers() == []
    assert rig["a"].link.malformed == 0


def test_one_that_is_malformed_is_counted(make: Any) -> None:
    rig = make("a")
    rig["a"].say_bytes(b"\0\0\0\x0c\x10" + bytes((CUT,)) + bytes(6))
    assert rig["a"].link.malformed == 1
