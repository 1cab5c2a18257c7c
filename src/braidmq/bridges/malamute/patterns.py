"""Patterns of subjects: the regular expressions of CZMQ's zrex, matched in a time that no pattern can make long.

A worker writes the pattern and a caller the subject, so neither is trusted: a matcher that tries one way after another
could be kept busy for hours. This one follows all ways at once (V. M. Glushkov, "The abstract theory of automata"): the
characters of a pattern are positions, a set of them is a whole number, and each byte of a subject takes one step.

`^` and `$` are characters, too, which stand before and behind each subject.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

POSITIONS_MAX: Final = 128
"""Characters of a pattern that match something. They are what a pattern costs."""

DEPTH_MAX: Final = 16
"""Groups within one another."""

_STEPS_MAX: Final = 256
"""Steps that are remembered of a pattern: subjects of programs are much alike."""

_BEGIN: Final = 256
_END: Final = 257

_BYTES: Final = (1 << 256) - 1


def _set(characters: Iterable[int]) -> int:
    return sum(1 << each for each in characters)


_DIGIT: Final = _set(b"0123456789")
_SPACE: Final = _set(b" \t\r\n\v\f")
_ALPHA: Final = _set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

_CLASSES: Final = {
    ord("d"): _DIGIT,
    ord("D"): _BYTES & ~_DIGIT,
    ord("s"): _SPACE,
    ord("S"): _BYTES & ~_SPACE,
    ord("a"): _ALPHA,
    ord("A"): _BYTES & ~_ALPHA,
    ord("w"): _ALPHA | _DIGIT,
    ord("W"): _BYTES & ~(_ALPHA | _DIGIT),
    ord("r"): _set(b"\r"),
    ord("n"): _set(b"\n"),
}

_SPECIAL: Final = {ord("."): _BYTES, ord("^"): 1 << _BEGIN, ord("$"): 1 << _END}

_OPEN, _CLOSE, _OR, _SET, _SET_END, _ESCAPE, _NOT, _TO, _HEX = b"()|[]\\^-x"
_STAR, _PLUS, _OPTIONAL = b"*+?"


class _Part(msgspec.Struct, gc=False):
    """A part of a pattern: whether it matches nothing, too, and which of its positions can be first and last."""

    empty: bool
    first: int
    last: int


class Pattern:
    """One pattern.

    Args:
        text: as a worker writes it.

    Raises:
        ValueError: it is none; the text of the error says why.
    """

    __slots__ = ("_accepts", "_always", "_first", "_follow", "_masks", "_steps", "_symbols")

    def __init__(self, text: bytes) -> None:
        self._symbols: list[int] = []
        self._follow: list[int] = []
        whole = _Reader(text, self._symbols, self._follow).read()
        self._always = whole.empty
        self._first = whole.first
        self._accepts = whole.last
        self._masks: dict[int, int] = {}
        self._steps: dict[int, int] = {}

    def matches(self, subject: bytes) -> bool:
        """Whether the pattern is found anywhere in a subject."""
        if self._always:
            return True
        here = 0
        for symbol in (_BEGIN, *subject, _END):
            here = (self._first | self._next(here)) & self._mask(symbol)
            if here & self._accepts:
                return True
        return False

    def _mask(self, symbol: int) -> int:
        """Return the positions that match a symbol."""
        mask = self._masks.get(symbol)
        if mask is None:
            mask = sum(1 << at for at, each in enumerate(self._symbols) if each >> symbol & 1)
            self._masks[symbol] = mask
        return mask

    def _next(self, here: int) -> int:
        """Return the positions that can follow upon any of some."""
        found = self._steps.get(here)
        if found is None:
            found, left = 0, here
            while left:
                found |= self._follow[(left & -left).bit_length() - 1]
                left &= left - 1
            if len(self._steps) >= _STEPS_MAX:
                self._steps.clear()
            self._steps[here] = found
        return found


class _Reader:
    """Reads one pattern, and notes what each of its positions matches, and which can follow upon it."""

    def __init__(self, text: bytes, symbols: list[int], follow: list[int]) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._symbols = symbols
        self._follow = follow

    def read(self) -> _Part:
        whole = self._choice()
        if self._at < len(self._text):
            raise ValueError("a ) closes no group")
        return whole

    def _peek(self) -> int:
        return self._text[self._at] if self._at < len(self._text) else -1

    def _take(self) -> int:
        if self._at >= len(self._text):
            raise ValueError("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _choice(self) -> _Part:
        whole = self._sequence()
        while self._peek() == _OR:
            self._at += 1
            other = self._sequence()
            whole = _Part(whole.empty or other.empty, whole.first | other.first, whole.last | other.last)
        return whole

    def _sequence(self) -> _Part:
        whole = _Part(empty=True, first=0, last=0)
        while self._peek() not in (-1, _OR, _CLOSE):
            part = self._repeated()
            self._join(whole.last, part.first)
            whole = _Part(
                whole.empty and part.empty,
                whole.first | (part.first if whole.empty else 0),
                part.last | (whole.last if part.empty else 0),
            )
        return whole

    def _repeated(self) -> _Part:
        part = self._atom()
        while self._peek() in (_STAR, _PLUS, _OPTIONAL):
            sign = self._take()
            if self._peek() == _OPTIONAL:  # not greedy, which only matters to those who ask what was found
                self._at += 1
            if sign != _OPTIONAL:
                self._join(part.last, part.first)
            if sign != _PLUS:
                part = _Part(True, part.first, part.last)
        return part

    def _atom(self) -> _Part:
        sign = self._take()
        if sign in (_STAR, _PLUS, _OPTIONAL):
            raise ValueError(f"{chr(sign)} repeats nothing")
        if sign == _OPEN:
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise ValueError(f"it has more than {DEPTH_MAX} groups within one another")
            part = self._choice()
            if self._peek() != _CLOSE:
                raise ValueError("a group is not closed")
            self._at += 1
            self._depth -= 1
            return part
        if sign == _SET:
            return self._position(self._characters())
        if sign == _ESCAPE:
            return self._position(self._escaped())
        return self._position(_SPECIAL.get(sign, 1 << sign))

    def _escaped(self) -> int:
        sign = self._take()
        if sign != _HEX:
            return _CLASSES.get(sign, 1 << sign)
        digits = bytes((self._take(), self._take()))
        try:
            return 1 << int(digits, 16)
        except ValueError:
            raise ValueError("\\x needs two hexadecimal digits") from None

    def _characters(self) -> int:
        negated = self._peek() == _NOT
        self._at += negated
        found, former = 0, -1
        while self._peek() != _SET_END:
            if self._at >= len(self._text):
                raise ValueError("a [ is not closed")
            sign = self._take()
            if sign == _ESCAPE:
                found |= self._escaped()
                former = -1
            elif sign == _TO and former >= 0 and self._peek() not in (-1, _SET_END):
                last = self._take()
                if last < former:
                    raise ValueError("a range in [] ends before it begins")
                found |= _set(range(former, last + 1))
                former = -1
            else:
                found |= 1 << sign
                former = sign
        self._at += 1
        return _BYTES & ~found if negated else found

    def _position(self, symbols: int) -> _Part:
        if len(self._symbols) >= POSITIONS_MAX:
            raise ValueError(f"it has more than {POSITIONS_MAX} characters")
        self._symbols.append(symbols)
        self._follow.append(0)
        mask = 1 << (len(self._symbols) - 1)
        return _Part(empty=False, first=mask, last=mask)

    def _join(self, lasts: int, first: int) -> None:
        """Note that whatever is in `first` can follow upon each of `lasts`."""
        while lasts:
            self._follow[(lasts & -lasts).bit_length() - 1] |= first
            lasts &= lasts - 1
