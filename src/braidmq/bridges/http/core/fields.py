"""What the header fields of a request ask for."""

import re
from collections.abc import Iterable
from typing import Final

from braidmq.bounds import ATTEMPTS_MAX
from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.limits import KEY_CHARS_MAX, TIMEOUT_S_MIN
from braidmq.bridges.http.core.problems import Refused

_OWN: Final = b"braid-"
_HEADER: Final = b"braid-header-"
_KNOWN: Final = frozenset({b"braid-timeout", b"braid-attempts"})
_PASSED_ON: Final = (b"traceparent", b"tracestate", b"baggage", b"content-type")
_LISTS: Final = frozenset({b"tracestate", b"baggage", b"prefer", b"transfer-encoding"})
"""Fields whose values may come in several lines, which mean the same as one line with commas."""

_RESERVED: Final = frozenset({"idempotency-key", "via", *(name.decode() for name in _PASSED_ON)})
"""Headers that the gateway itself gives to a handler."""

_NUMBER: Final = re.compile(rb"[0-9]{1,12}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?\Z")
_WHOLE: Final = re.compile(rb"[0-9]{1,9}\Z")
_KEY: Final = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"\Z')
_ESCAPED: Final = re.compile(r"\\(.)")
_WAIT: Final = re.compile(rb"wait[ \t]*=[ \t]*\"?([0-9]{1,9})\"?[ \t]*(?:;|\Z)", re.IGNORECASE)


class Fields:
    """The header fields of one request.

    Raises:
        Refused: of those that count, one is there twice, or is a `Braid-` field that nobody knows.
    """

    __slots__ = ("_handed", "_values")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, bytes] = {}
        self._handed: dict[bytes, bytes] = {}
        for name, value in fields:
            if name.startswith(_OWN) and name not in _KNOWN:
                if not name.startswith(_HEADER) or name == _HEADER:
                    raise Refused(problems.BAD_HEADER, f"there is no field {name.decode('latin-1')!r:.100}")
                before = self._handed.get(name)
                self._handed[name] = value if before is None else b"%b, %b" % (before, value)
            elif name not in self._values:
                self._values[name] = value
            elif name in _LISTS:
                self._values[name] = b"%b, %b" % (self._values[name], value)
            elif name in _SINGLE:
                raise Refused(problems.BAD_HEADER, f"{name.decode()} is there twice")

    def get(self, name: bytes) -> bytes | None:
        """Return the value of a field; None if it is not there."""
        return self._values.get(name)

    def timeout_s(self, usual_s: float, max_s: float) -> float:
        """Return the timeout of the call: what Braid-Timeout and `Prefer: wait=` say, the smaller one.

        Raises:
            Refused: Braid-Timeout is no number of seconds, or out of its bounds. A preference that makes no sense is
                ignored, and one beyond the bounds is cut to them, as RFC 7240 wants it.
        """
        said = self._values.get(b"braid-timeout")
        timeout_s = min(usual_s, max_s)
        if said is not None:
            number = float(said) if _NUMBER.match(said) else -1.0
            if not TIMEOUT_S_MIN <= number <= max_s:
                raise Refused(problems.BAD_HEADER, f"Braid-Timeout takes seconds, from {TIMEOUT_S_MIN:g} to {max_s:g}")
            timeout_s = number
        preferred_s = self._wait_s()
        if preferred_s is None:
            return timeout_s
        if said is None:
            timeout_s = max_s
        return max(TIMEOUT_S_MIN, min(timeout_s, preferred_s))

    def _wait_s(self) -> float | None:
        for preference in (self._values.get(b"prefer") or b"").split(b","):
            found = _WAIT.match(preference.strip())
            if found is not None:
                return float(found.group(1))
        return None

    def attempts(self) -> int | None:
        """Return how often the request may be sent; None if nothing is said. Raises Refused."""
        said = self._values.get(b"braid-attempts")
        if said is None:
            return None
        number = int(said) if _WHOLE.match(said) else 0
        if not 1 <= number <= ATTEMPTS_MAX:
            raise Refused(problems.BAD_HEADER, f"Braid-Attempts takes a whole number from 1 to {ATTEMPTS_MAX}")
        return number

    def idempotency_key(self) -> str | None:
        """Return the key, unquoted; None without one. Raises Refused."""
        said = self._values.get(b"idempotency-key")
        if said is None:
            return None
        quoted = _KEY.match(said)
        key = "" if quoted is None else _ESCAPED.sub(r"\1", quoted.group(1).decode())
        if not 1 <= len(key) <= KEY_CHARS_MAX:
            raise Refused(
                problems.BAD_HEADER,
                f'Idempotency-Key takes a string in double quotes, of 1 to {KEY_CHARS_MAX} characters of ASCII: "..."',
            )
        return key

    def handed_on(self) -> dict[str, str]:
        """Return what reaches the handler as headers. Raises Refused."""
        headers: dict[str, str] = {}
        for field, value in self._handed.items():
            name = _text(field[len(_HEADER) :])
            if name in _RESERVED:
                raise Refused(problems.BAD_HEADER, f"the handler's header {name!r} is the gateway's own")
            headers[name] = _text(value)
        for field in _PASSED_ON:
            passed = self._values.get(field)
            if passed is not None:
                headers[field.decode()] = _text(passed)
        return headers

    def content_length(self) -> int | None:
        """Return how long the body says it is; None if it does not say."""
        said = self._values.get(b"content-length")
        return int(said) if said is not None and said.isdigit() else None


_SINGLE: Final = _KNOWN | {
    b"authorization",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"expect",
    b"host",
    b"idempotency-key",
    b"origin",
    b"traceparent",
}
"""Fields of which a second one would contradict the first."""


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused(problems.BAD_HEADER, "a header for the handler is not valid UTF-8") from None
