"""What makes fuzzing fast hides nothing."""

import importlib
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

from fuzz import sodium, zmtp

KEYS = st.binary(min_size=32, max_size=32).map(bindings.crypto_sign_seed_keypair)
BOX_KEYS = st.binary(min_size=32, max_size=32)
NONCE = bytes(range(24))


@pytest.fixture
def slow(monkeypatch):
    """Return the functions of libsodium as they are; those of this process are fast until the test ends."""
    changed = (*sodium.PURE, "crypto_box", "crypto_box_open", "crypto_sign", "crypto_sign_open")
    slow = SimpleNamespace(**{name: getattr(bindings, name) for name in changed})
    for name in changed:
        monkeypatch.setattr(bindings, name, getattr(bindings, name))
    slow.signatures = sodium.replace()
    return slow


def test_what_is_remembered_is_what_libsodium_says(slow):
    @given(BOX_KEYS, BOX_KEYS, st.binary(max_size=99))
    def holds(one, other, plain):
        public = slow.crypto_scalarmult_base(other)
        for _ in range(2):
            assert bindings.crypto_scalarmult_base(other) == public
            assert bindings.crypto_box_beforenm(public, one) == slow.crypto_box_beforenm(public, one)
            box = bindings.crypto_box(plain, NONCE, public, one)
            assert box == slow.crypto_box(plain, NONCE, public, one)
            assert bindings.crypto_box_open(box, NONCE, public, one) == plain
            with pytest.raises(CryptoError):
                bindings.crypto_box_open(box[:-1] + bytes((box[-1] ^ 1,)), NONCE, public, one)

    holds()


def test_only_what_was_signed_is_taken(slow):
    @given(KEYS, KEYS, st.binary(max_size=99), st.integers(0, 1_000), st.booleans())
    def holds(keys, others, message, where, exact):
        (public, secret), signatures = keys, slow.signatures
        signatures.exact = True
        before = bindings.crypto_sign(message, secret)
        assert before == slow.crypto_sign(message, secret)
        signatures.exact = exact
        for signed in (before, bindings.crypto_sign(message, secret)):
            assert bindings.crypto_sign_open(signed, public) == message
            changed = bytearray(signed)
            changed[where % len(signed)] ^= 1
            for forged in (bytes(changed), signed + b"x", signed[:64], bytes(64) + message):
                if forged != signed:
                    with pytest.raises(BadSignatureError):
                        bindings.crypto_sign_open(forged, public)
            if others != keys:
                with pytest.raises(BadSignatureError):
                    bindings.crypto_sign_open(signed, others[0])

    holds()


def test_a_peer_behind_its_handshake_is_as_one_that_has_just_made_it():
    for side in (b"\0", b"\1"):
        behind = bytes((side[0] | 2,))
        for doings in (b"\6\0\0\5hello\6\x09\0\2hi\0", b"\2\2\2", b"\3\0\x20\1\6\0\0\1a\6\0\0\1b"):
            one, other = zmtp.one(side + zmtp.OPENING + doings), zmtp.one(behind + doings)
            assert one.line.frames == other.line.frames
            assert (one.heard, one.said, one.vain) == (other.heard, other.said, other.vain)
            assert one.line.engine.commands == other.line.engine.commands


class Counted:
    """What stands for atheris: its hooks, and the counters that libFuzzer reads."""

    def __init__(self):
        self.compared = []
        self._trace_branch = None
        self._trace_cmp = lambda *told: self.compared.append(told) or True


@pytest.fixture
def trace(monkeypatch):
    atheris = Counted()
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    monkeypatch.delitem(sys.modules, "fuzz.trace", raising=False)
    module = importlib.import_module("fuzz.trace")
    monkeypatch.setattr(module, "_counters", lambda: bytearray(9))
    yield SimpleNamespace(atheris=atheris, module=module)
    del sys.modules["fuzz.trace"]


def test_branches_are_counted_for_each_execution(trace):
    one = trace.module.Trace()
    for times in (1, 3, 1_000):
        one._counters[:] = bytes(9)  # as libFuzzer does
        one.begin()
        for _ in range(times):
            trace.atheris._trace_branch(5)
        trace.atheris._trace_branch(7)
        one.end()
        assert bytes(one._counters) == bytes((0, 0, 0, 0, 0, min(times, 255), 0, 1, 0))


def test_comparisons_compare_and_some_executions_tell_them(trace):
    one = trace.module.Trace()
    for _ in range(2 * trace.module.COMPARED):
        one.begin()
        asked = [trace.atheris._trace_cmp(1, 2, which, 0, False) for which in range(6)]
        one.end()
        if asked != [True] * 6:
            assert asked == [True, True, False, True, False, False]
    assert len(trace.atheris.compared) == 2 * 6
