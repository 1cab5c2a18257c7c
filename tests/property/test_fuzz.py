"""The targets of `make fuzz` hold for bytes that hypothesis draws, and find what is broken."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from braidmq.carrier.fragments import Joiner
from braidmq.carrier.outbox import Outbox
from braidmq.zmtp.engine import Engine
from braidmq.zmtp.violation import Violation
from fuzz import fragments, zmtp


@given(st.binary(max_size=300))
@example(b"")
def test_any_doings_of_a_peer_are_borne(doings):
    zmtp.one(doings)


@given(st.integers(0, 1), st.lists(st.integers(1, 7), max_size=12).map(bytes), st.binary(max_size=60))
def test_any_doings_behind_a_handshake_are_borne(side, order, more):
    zmtp.one(bytes((side,)) + b"\x01\x04\x00\x05\x00" + order + more)


@pytest.mark.parametrize("seed", zmtp.SEEDS[:2])
def test_doings_to_begin_with_come_as_far_as_frames_and_pings(seed):
    peer = zmtp.one(seed)
    assert peer.line.engine.open
    assert [frame[8:] for frame in peer.line.frames] == [b"hello"]
    assert peer.line.engine._got == 5


def test_engine_that_takes_a_frame_twice_is_found(patch_cores):
    receive = Engine.receive

    def forgetful(self, *given):
        try:
            return receive(self, *given)
        finally:
            if self.open:
                self._got = 2

    patch_cores.setattr(Engine, "receive", forgetful)
    with pytest.raises(AssertionError, match="twice"):
        zmtp.one(b"\x01\x01\x04\x00\x05\x00\x06\x00\x00\x01a\x02\x02")


def test_engine_that_raises_something_else_is_found(patch_cores):
    def stumble(*_):
        raise LookupError

    patch_cores.setattr(Engine, "_on_command", stumble)
    with pytest.raises(LookupError):
        zmtp.one(zmtp.SEEDS[0])


def test_engine_that_says_too_much_is_found(patch_cores):
    def talkative(self, command):
        self.output += bytes(2000)

    patch_cores.setattr(Engine, "_on_command", talkative)
    with pytest.raises(AssertionError, match="says more"):
        zmtp.one(zmtp.SEEDS[0])


def test_engine_that_opens_for_anybody_is_found(patch_cores):
    def credulous(self, *_):
        self.open = True
        raise Violation("but too late")

    patch_cores.setattr(Engine, "receive", credulous)
    with pytest.raises(AssertionError, match="proven nothing"):
        zmtp.one(zmtp.SEEDS[0])


@given(st.binary(max_size=200))
@example(b"")
def test_any_fragments_are_borne_and_any_order_is_kept(doings):
    fragments.one(doings)


def test_doings_to_begin_with_are_whole_messages_and_misdeeds():
    first, second, *others = [fragments.one(seed) for seed in fragments.SEEDS]
    assert not first[0].said
    assert not first[0].cut
    assert len(second[1].got) == 3
    assert all(hostile.cut for hostile, _ in others)


def test_joiner_that_takes_anything_is_found(patch_cores):
    patch_cores.setattr(Joiner, "add", lambda *_: None)
    for seed in fragments.SEEDS:
        with pytest.raises(AssertionError):
            fragments.one(seed)


def test_outbox_that_loses_something_is_found(patch_cores):
    take_bundle = Outbox.take_bundle
    patch_cores.setattr(Outbox, "take_bundle", lambda self: take_bundle(self)[:0])
    with pytest.raises(AssertionError, match="lost"):
        fragments.one(fragments.SEEDS[1])
