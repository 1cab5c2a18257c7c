import random

import pytest

from attacks.frames import Fuzz, cycled, full
from braidmq.errors import ProtocolError
from braidmq.wire.bundle import split
from braidmq.wire.control import Heartbeat, decode_control, encode_control
from braidmq.wire.envelope import CONTROL_FIRST, REQUEST, Command, Envelope, decode
from braidmq.wire.limits import BUNDLE_BYTES


def test_a_full_bundle_has_no_room_for_one_more_and_is_whole():
    message = encode_control(Heartbeat(), 0)
    bundle = full(message)
    assert BUNDLE_BYTES - len(message) < len(bundle) <= BUNDLE_BYTES
    assert split(bundle) == ([message] * (BUNDLE_BYTES // 13), True)


def test_frames_come_in_turn():
    next_frame = cycled([b"a", b"b", b"c"])
    assert sorted(next_frame() for _ in range(3)) == [b"a", b"b", b"c"]
    assert [next_frame() for _ in range(6)][:3] * 2 == [next_frame() for _ in range(6)]


@pytest.mark.parametrize("role", ["client", "worker", "broker"])
def test_the_same_seed_draws_the_same_frames(role, monkeypatch):
    monkeypatch.setattr("attacks.arms.now_ms", lambda: 7)
    monkeypatch.setattr("attacks.frames.now_ms", lambda: 7)
    one, other = Fuzz(random.Random(3)), Fuzz(random.Random(3))
    assert [one.frame(role) for _ in range(500)] == [other.frame(role) for _ in range(500)]


def well_formed(fuzz, role, count):
    for _ in range(count):
        message = fuzz.message(role)
        if split(message) != ([message], True):
            continue
        try:
            if message[5] < CONTROL_FIRST:
                yield message[5], decode(message)
            elif received := decode_control(message):
                yield message[5], received
        except ProtocolError:
            pass


def test_everything_is_drawn_that_a_broker_can_say():
    commands = {command for command, _ in well_formed(Fuzz(random.Random(1)), "broker", 5_000)}
    assert set(Command) <= commands


def test_most_of_what_is_drawn_is_well_formed_and_some_is_not():
    drawn = len(list(well_formed(Fuzz(random.Random(2)), "client", 2_000)))
    assert 1_200 < drawn < 1_950


def test_what_was_heard_comes_back_with_its_id_and_tag():
    fuzz = Fuzz(random.Random(4))
    fuzz.learn(Envelope(REQUEST, b"i" * 16, tag=77))
    said = [message for _, message in well_formed(fuzz, "worker", 300) if isinstance(message, Envelope)]
    assert sum((each.id, each.tag) == (b"i" * 16, 77) for each in said) > len(said) / 2


def test_frames_of_all_sizes_are_drawn():
    fuzz = Fuzz(random.Random(5))
    sizes = [len(fuzz.frame("client")) for _ in range(2_000)]
    assert min(sizes) == 0
    assert max(sizes) > 4_096
