import random

import pytest

from braidmq.lab.simulation.record import Passage
from braidmq.lab.simulation.tap import passages
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.envelope import Command, Envelope, Flag, Reason, encode

ID = bytes(range(16))


def tapped(*messages):
    return list(passages(messages, 1.5, "b0", "in", "w0"))


@pytest.mark.parametrize("command", [each for each in Command if each < 32])
def test_every_exchange_message_is_noted_as_it_is(command):
    envelope = Envelope(
        command, ID, flags=Flag.POSSIBLE_DUPLICATE | 0x80, retry_count=3, tag=5, service=b"echo", sender=b"c0",
        receiver=b"w0", code=int(Reason.BUSY), extension=b"xy", payload=b"p",
    )  # fmt: skip
    assert tapped(encode(envelope)) == [
        Passage(1.5, "b0", "in", "w0", command, ID, "c0", True, 3, Reason.BUSY, "echo", 5, "w0")
    ]


def test_a_message_without_anything_is_noted_too():
    assert tapped(encode(Envelope(Command.CANCEL, ID))) == [Passage(1.5, "b0", "in", "w0", Command.CANCEL, ID)]


def test_other_flags_are_no_flag():
    assert not tapped(encode(Envelope(Command.REQUEST, ID, flags=0xFE)))[0].possible_duplicate


def test_control_messages_are_not_noted():
    long = control.Services([f"service-{number}" for number in range(100)])
    for message in (control.Heartbeat(), long):
        assert tapped(control.encode_control(message, 0)) == []


def test_messages_of_another_major_version_are_not_noted():
    message = bytearray(encode(Envelope(Command.REQUEST, ID)))
    message[4] += 16
    assert tapped(bytes(message)) == []
    message[4] -= 15
    assert len(tapped(bytes(message))) == 1, "a newer minor version is understood"


def test_what_is_cut_off_is_not_noted_and_what_follows_is():
    whole = encode(Envelope(Command.REQUEST, ID))
    cut_off = bytearray(whole[:20])
    cut_off[:4] = len(cut_off).to_bytes(4)
    messages, intact = split(bytes(cut_off) + whole)
    assert intact
    assert len(messages) == 2
    assert [each.id for each in tapped(*messages)] == [ID]


def test_nothing_that_a_frame_can_hold_raises():
    rng = random.Random(1)
    whole = encode(Envelope(Command.REQUEST, ID, service=b"echo", sender=b"c0"))
    noted = 0
    for _ in range(5_000):
        garbled = bytearray(whole[: rng.randint(12, len(whole))])
        garbled[:4] = len(garbled).to_bytes(4)
        for _ in range(rng.randint(0, 3)):
            garbled[rng.randrange(4, len(garbled))] = rng.randrange(256)
        noted += len(tapped(*split(bytes(garbled))[0]))
    assert noted
