"""How deep a peer's MessagePack is nested.

msgspec goes down into a value by calls of C functions, also where it only skips it. How deep it goes is left to the
interpreter, whose limit differs between versions and which programs move; and what C's stack holds depends on the
thread. So whoever reads a peer's bytes looks at them here before msgspec does.
"""

from typing import Final

from braidmq.errors import ProtocolError

NESTING_MAX: Final = 64
"""Lists and maps within one another. No control message has more than four; the rest is for the details of errors."""

VALUES_MAX: Final = 1_000_000
"""Values that are looked at in a control message: more than twice as many as the largest ABOUT has."""

_OPENERS: Final = bytes((*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF))
"""The bytes with which lists and maps begin. Others begin and continue with them, too."""

_ANNOUNCED: Final = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),
                     0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # fmt: skip
"""Binaries, extensions and texts: how many bytes tell their length, and how many more than that follow."""

_SIZED: Final = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9,
                 0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}  # fmt: skip


def _size_of(first: int) -> int:
    """Return how many bytes a value has that begins with `first`; 0 if that does not tell it."""
    if first <= 0x7F or first >= 0xE0 or first in (0xC0, 0xC1, 0xC2, 0xC3):
        return 1
    return 1 + (first & 0x1F) if 0xA0 <= first <= 0xBF else _SIZED.get(first, 0)


_SIZES: Final = bytes(map(_size_of, range(256)))


def check_nesting(body: bytes, values_max: int) -> None:
    """Raise ProtocolError if the value in `body` is nested more than NESTING_MAX deep, or has more than `values_max`.

    What is not well formed is looked at up to there: msgspec stops at the same place.
    """
    if len(body) > NESTING_MAX and len(body) - len(body.translate(None, _OPENERS)) > NESTING_MAX:
        _look(body, values_max)


def _look(body: bytes, values_max: int) -> None:
    sizes, end = _SIZES, len(body)
    around: list[int] = []  # how many values each of the lists and maps around `at` still has to come
    left, at = 1, 0
    while at < end:
        first = body[at]
        size = sizes[first]
        left -= 1
        values_max -= 1
        if size:
            at += size
        elif first in _ANNOUNCED:
            width, more = _ANNOUNCED[first]
            at += 1 + width + more + int.from_bytes(body[at + 1 : at + 1 + width])
        else:
            width = 0 if first < 0xA0 else 4 if first & 1 else 2
            count = int.from_bytes(body[at + 1 : at + 1 + width]) if width else first & 0x0F
            around.append(left)
            if len(around) > NESTING_MAX:
                raise ProtocolError(f"nested more than {NESTING_MAX} deep")
            left = 2 * count if first < 0x90 or first > 0xDD else count
            at += 1 + width
        if values_max < 0:
            raise ProtocolError("more values than any such message has")
        while not left:
            if not around:
                return
            left = around.pop()
