import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braidmq.cli.top.keys import PENDING_MAX, Keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q/s", ["q", "/", "s"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[Z", ["up", "down", "pageup", "backtab"]),
        (b"\r\n\t\x7f", ["enter", "enter", "tab", "backspace"]),
        ("é".encode(), ["é"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1bx", ["escape", "x"]),
        (b"\x1b[1;5A\x1b[99~\x1b[200~q", ["q"]),
        (b"\x00\x01\x1f\xff", ["\ufffd"]),
    ],
)
def test_what_a_terminal_sends_becomes_keys(data, keys):
    assert Keys().feed(data) == keys


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"q", b"\x1b[A", b"\x1bOF", b"\x1b[6~", "ü".encode(), b"\r"]), min_size=1))
def test_keys_may_come_in_pieces_of_any_size(sent):
    data = b"".join(sent)
    keys = Keys()
    assert [key for byte in data for key in keys.feed(bytes([byte]))] == Keys().feed(data)
    assert not keys.pending


def test_an_escape_is_a_key_only_if_nothing_follows():
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.pending
    assert keys.flush() == ["escape"]
    assert not keys.pending
    assert keys.feed(b"\x1b") + keys.feed(b"[B") == ["down"]
    assert keys.flush() == []


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_bounded_and_over_after_a_silence(data):
    keys = Keys()
    keys.feed(data)
    keys.feed(b"\x1b[" + b"1" * PENDING_MAX)
    keys.flush()
    keys.feed(b"\x80")  # ends a character that garbage has begun
    assert keys.feed(b"q")[-1:] == ["q"]
