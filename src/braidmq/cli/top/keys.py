"""What a terminal sends when keys are pressed, as keys. Pure.

The sequences are those of xterm and the VT220, in both modes of the cursor keys (ECMA-48, section 5.4).
"""

import codecs
import re
from typing import Final

ESCAPE: Final = "escape"

PENDING_MAX: Final = 32
"""Bytes of a sequence that has not come in full: no key has as many."""

_NAMES: Final = {
    "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\b": "backspace",
    "\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left",
    "\x1bOA": "up", "\x1bOB": "down", "\x1bOC": "right", "\x1bOD": "left",
    "\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end",
    "\x1b[1~": "home", "\x1b[4~": "end", "\x1b[7~": "home", "\x1b[8~": "end",
    "\x1b[5~": "pageup", "\x1b[6~": "pagedown", "\x1b[Z": "backtab",
}  # fmt: skip

_ONE: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|\x1b(?![\[O])|[^\x1b]", re.DOTALL)
"""A sequence, an escape that begins none, or a character."""


class Keys:
    """Makes keys of what comes in, in pieces of any size.

    A key is a character, or a name such as `up` or `enter`. An escape may be a key, or the beginning of one that has
    not come in full: as long as `pending`, call `flush` when nothing has come for some time.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def pending(self) -> bool:
        """Whether something has come that may be the beginning of a key."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete now. What is no key is left out."""
        text, keys, at = self._rest + self._decoder.decode(data), [], 0
        while at < len(text):
            if text[at] == "\x1b" and at + 1 == len(text):
                break
            found = _ONE.match(text, at)
            if found is None:
                break
            at = found.end()
            keys.append(found[0])
        self._rest = text[at:]
        if len(self._rest) > PENDING_MAX:
            self._rest = ""
        return _named(keys)

    def flush(self) -> list[str]:
        """Return what the escape was that nothing has followed."""
        rest, self._rest = self._rest, ""
        return [ESCAPE] if rest == "\x1b" else []


def _named(found: list[str]) -> list[str]:
    keys = [ESCAPE if each == "\x1b" else _NAMES.get(each, each) for each in found]
    return [key for key in keys if (len(key) > 1 and key.isalpha()) or (len(key) == 1 and key.isprintable())]
