"""Patterns of subjects: what they find, and that none takes long."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braidmq.bridges.malamute.patterns import DEPTH_MAX, POSITIONS_MAX, Pattern
from tests.support.examples import TIMES


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        (b".*", [b"call", b"\xff"], []),
        (b"", [b"call"], []),
        (b"bw.*", [b"bw.A4", b"x bw"], [b"color.A4", b"b"]),
        (b"^eu", [b"eu", b"eu.stock"], [b"us.eu", b""]),
        (b"\\.jpg$", [b"a.jpg"], [b"a.jpg2", b"ajpg"]),
        (b"^(get|put)$", [b"get", b"put"], [b"gets", b"", b"getput"]),
        (b"^a+b?c*$", [b"a", b"aab", b"aacc"], [b"", b"b", b"abbc"]),
        (b"^[a-c-]+$", [b"a-c"], [b"d", b""]),
        (b"^[^a\\d]$", [b"b", b"\xff"], [b"a", b"5", b"bb"]),
        (b"^x\\]$", [b"x]"], [b"x"]),
        (b"[]", [], [b"", b"x"]),
        (b"\\d\\d-\\w\\s\\S", [b"12-a b"], [b"1-a b"]),
        (b"^\\x41\\$\\a\\D$", [b"A$zz"], [b"A$z1", b"A$1z"]),
        (b"a+?b", [b"aab"], [b"b"]),
        (b"(a*)*b", [b"b", b"aab"], [b"a"]),
        (b"a{2}", [b"a{2}"], [b"aa"]),
        (b"$^", [], [b"", b"a"]),
    ],
)
def test_pattern_finds(pattern, found, missed):
    made = Pattern(pattern)
    assert [subject for subject in found if not made.matches(subject)] == []
    assert [subject for subject in missed if made.matches(subject)] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (b"[", "closed"),
        (b"[a", "closed"),
        (b"[^", "closed"),
        (b"(", "closed"),
        (b"(a", "closed"),
        (b"a)", "closes no group"),
        (b"*", "repeats nothing"),
        (b"a|+", "repeats nothing"),
        (b"\\", "too early"),
        (b"\\xg0", "hexadecimal"),
        (b"\\x4", "too early"),
        (b"[c-a]", "range"),
        (b"(" * (DEPTH_MAX + 1), "groups"),
        (b"a" * (POSITIONS_MAX + 1), "characters"),
    ],
)
def test_what_is_no_pattern_says_why(pattern, why):
    with pytest.raises(ValueError, match=why):
        Pattern(pattern)


def test_no_pattern_takes_long():
    """A matcher that goes back would take longer than the sun shines."""
    pattern = Pattern(b"^" + b"(a+)*" * 20 + b"(a|aa)*" * 20 + b"$")
    assert not pattern.matches(b"a" * 254 + b"b")
    assert pattern.matches(b"a" * 255)


def test_what_is_remembered_of_a_pattern_is_bounded():
    pattern = Pattern(b"(a|b)*a" + b"(a|b)" * 12 + b"$")
    for number in range(20_000):
        subject = f"{number:016b}".replace("0", "a").replace("1", "b").encode()
        assert pattern.matches(subject) == (subject[-13:-12] == b"a")
    assert len(pattern._steps) <= 256


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "\\w"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
    ),
    max_leaves=6,
)


@settings(max_examples=150 * TIMES, deadline=None)
@given(pattern=PATTERNS, begin=st.booleans(), end=st.booleans(), subject=st.text("ab1.", max_size=8))
def test_patterns_find_what_python_finds(pattern, begin, end, subject):
    whole = ("^" if begin else "") + f"({pattern})" + ("$" if end else "")
    wanted = re.search(whole.removesuffix("$") + ("\\Z" if end else ""), subject) is not None
    assert Pattern(whole.encode()).matches(subject.encode()) == wanted


@settings(max_examples=150 * TIMES, deadline=None)
@given(pattern=st.text("ab()[]^$|*+?\\x-.d", max_size=12), subject=st.binary(max_size=8))
def test_any_pattern_is_read_or_refused(pattern, subject):
    try:
        made = Pattern(pattern.encode())
    except ValueError:
        return
    made.matches(subject)
