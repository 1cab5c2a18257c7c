"""The golden vectors of fragments: tests/vectors/fragments.json, whose README.md says how to read them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from braidmq.carrier.fragments import ABANDON, LAST, MORE, Joiner
from braidmq.carrier.outbox import Outbox
from braidmq.wire.bundle import split
from braidmq.wire.envelope import CANCEL, Envelope, decode, encode
from braidmq.wire.limits import MESSAGE_BYTES_MAX
from braidmq.zmtp.violation import Misdeed

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "fragments.json").read_text(encoding="utf-8"))
GOOD = [vector for vector in VECTORS if not (vector.get("refused") or vector.get("abandoned"))]
ABANDONED = [vector for vector in VECTORS if vector.get("abandoned")]
REFUSED = [vector for vector in VECTORS if vector.get("refused")]


def message_of(vector: dict[str, Any]) -> bytes:
    payload = vector["payload"]
    return bytes.fromhex(vector["head"]) + bytes.fromhex(payload["hex"]) * payload["times"]


def frames_of(vector: dict[str, Any]) -> list[bytes]:
    """Return the frames as an entry has them."""
    message, at, frames = message_of(vector), 0, []
    for frame in vector["frames"]:
        frames.append(bytes.fromhex(frame["mark"]) + message[at : at + frame["bytes"]])
        at += frame["bytes"]
    assert at == len(message)
    return frames


@pytest.mark.parametrize("vector", GOOD, ids=[vector["name"] for vector in GOOD])
def test_a_message_is_written_as_these_frames(vector: dict[str, Any]) -> None:
    outbox, written = Outbox(fragments=True), []
    outbox.add([message_of(vector)])
    while outbox:
        if outbox.cuts:
            message, begin, end = outbox.piece()
            written.append(bytes((LAST if end == len(message) else MORE,)) + message[begin:end])
            outbox.piece_left()
        else:
            written += outbox.take_bundle()
    assert written == frames_of(vector)
    assert [hashlib.sha256(frame).hexdigest() for frame in written] == [frame["sha256"] for frame in vector["frames"]]


@pytest.mark.parametrize("vector", GOOD, ids=[vector["name"] for vector in GOOD])
def test_frames_are_read_as_this_message(vector: dict[str, Any]) -> None:
    joiner, message, frames = Joiner(MESSAGE_BYTES_MAX), message_of(vector), frames_of(vector)
    if len(frames) > 1:
        *before, last = [joiner.add(memoryview(frame)) for frame in frames]
        assert before == [None] * len(before)
        assert last == message
    assert split(message) == ([message], True)


@pytest.mark.parametrize("vector", REFUSED, ids=[vector["name"] for vector in REFUSED])
def test_these_frames_are_refused_at_the_last_one(vector: dict[str, Any]) -> None:
    joiner = Joiner(MESSAGE_BYTES_MAX)
    *before, last = [bytes.fromhex(frame["mark"]) + bytes(frame["bytes"]) for frame in vector["frames"]]
    for frame in before:
        assert joiner.add(memoryview(frame)) is None
    with pytest.raises(Misdeed):
        joiner.add(memoryview(last))


@pytest.mark.parametrize("vector", ABANDONED, ids=[vector["name"] for vector in ABANDONED])
def test_a_request_that_is_cancelled_is_abandoned_as_these_frames(vector: dict[str, Any]) -> None:
    message, outbox, joiner, written = message_of(vector), Outbox(fragments=True, abandons=True), Joiner(10**6), []
    outbox.add([message])
    for _ in vector["frames"][1:]:
        _, begin, end = outbox.piece()
        written.append(bytes((MORE,)) + message[begin:end])
        outbox.piece_left()
    request = decode(message)
    assert outbox.add([encode(Envelope(CANCEL, request.id, tag=request.tag))]) == [message]
    assert outbox.piece() == (b"", 0, 0)
    outbox.piece_left()
    written.append(bytes((ABANDON,)))
    assert not outbox
    assert [hashlib.sha256(frame).hexdigest() for frame in written] == [frame["sha256"] for frame in vector["frames"]]
    assert [joiner.add(memoryview(frame)) for frame in written] == [None] * len(written)
    assert joiner.bytes == 0


def test_names_are_unique() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
