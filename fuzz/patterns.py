"""What bytes make of patterns of subjects: read or refused, and then they find the same however they are written."""

from braidmq.bridges.malamute.patterns import DEPTH_MAX, POSITIONS_MAX, Pattern
from fuzz.script import Script

BYTES_MAX = 600

_ANCHORS = b"^$"


def _made(text: bytes) -> Pattern | None:
    try:
        return Pattern(text)
    except ValueError as error:
        assert len(str(error)) < 200, "repeats a pattern at length"
        return None


def one(data: bytes) -> int:
    """Read some bytes as a pattern, and look for it in others.

    Returns:
        Whether there was a pattern.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    script = Script(data)
    subject, around, text = script.some(255), script.some(10), script.some(255)
    pattern = _made(text)
    if pattern is None:
        return 0
    found = pattern.matches(subject)
    assert pattern.matches(subject) == found, "what is remembered changes it"
    grouped = _made(b"(" + text + b")")
    assert grouped is not None or text.count(b"(") >= DEPTH_MAX, "a group around it is none"
    assert grouped is None or grouped.matches(subject) == found, "a group changes it"
    twice = _made(text + b"|" + text)
    assert twice is not None or len(text) * 2 > POSITIONS_MAX, "a choice between the same is none"
    assert twice is None or twice.matches(subject) == found, "a choice between the same changes it"
    if found and not any(each in _ANCHORS for each in text):
        assert pattern.matches(around + subject + around), "what is around a subject hides it"
    return 1


def _script(subject: bytes, around: bytes, text: bytes) -> bytes:
    return b"".join(bytes((len(each),)) + each for each in (subject, around, text))


SEEDS = (
    _script(b"bw.A4", b"x", b"^bw\\.(A4|A5)$"),
    _script(b"aabbab", b"", b"((a|b)*?[a-c\\d])+x?"),
    _script(b"\xff 7", b"yy", b"[^\\w]\\x20\\d.*"),
)
"""Subjects, what is around them, and patterns."""
