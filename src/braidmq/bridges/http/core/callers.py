"""Who calls: bearer tokens and names of certificates, and for whom the gateway acts when it passes a call on."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.fields import Fields
from braidmq.bridges.http.core.limits import TOKEN_BYTES_MAX
from braidmq.bridges.http.core.messages import Head
from braidmq.bridges.http.core.problems import Refused

_BEARER: Final = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*) *\Z", re.IGNORECASE)
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="braidmq"'),)
_WRONG: Final = ((b"www-authenticate", b'Bearer realm="braidmq", error="invalid_token"'),)
_HOST: Final = re.compile(rb"(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?\Z", re.IGNORECASE)
_NO_DIGEST: Final = bytes(hashlib.sha256().digest_size)


class Caller(NamedTuple):
    """Somebody who may call.

    Attributes:
        name: what the gateway calls it; empty for who needs no proof.
        join: the join file of the member that its calls are made by; empty for the gateway's own.
    """

    name: str
    join: str = ""

    @property
    def via(self) -> str | None:
        """What a handler is told of a caller whose calls are made by the gateway's own member."""
        return f"http:{self.name}" if self.name and not self.join else None


NOBODY: Final = Caller("")
"""Whoever needs no proof."""


class Entry(NamedTuple):
    """One entry of the file of callers: who it is, and one of the two proofs of it.

    Attributes:
        caller: who it is.
        digest: SHA-256 of its bearer token.
        certificate: a DNS name or URI of its certificate.
    """

    caller: Caller
    digest: bytes = b""
    certificate: str = ""


class Callers:
    """Tells callers by what they prove.

    A token is looked up by its SHA-256, and compared in constant time. The time of the lookup tells something of the
    digest of a wrong token only, which who sends it knows anyway, and from which no other token follows.

    Args:
        entries: all who may call with a proof.
        anonymous: whether who has none may call, too, as the gateway's own member.
        any_host: whether who has none may name the gateway's host as it likes. Else it must be a name of the loopback:
            a web page whose own name leads to 127.0.0.1 is one of others.
    """

    def __init__(self, entries: Iterable[Entry] = (), *, anonymous: bool = False, any_host: bool = False) -> None:
        self._anonymous = anonymous
        self._any_host = any_host
        self._by_digest: dict[bytes, tuple[bytes, Caller]] = {}
        self._by_certificate: dict[str, Caller] = {}
        for entry in entries:
            if entry.digest:
                self._by_digest[entry.digest] = (entry.digest, entry.caller)
            if entry.certificate:
                self._by_certificate[entry.certificate] = entry.caller

    @property
    def joins(self) -> set[str]:
        """The join files of all members that calls are made by, but the gateway's own."""
        known = [caller for _, caller in self._by_digest.values()]
        return {caller.join for caller in (*known, *self._by_certificate.values()) if caller.join}

    def identify(self, head: Head, fields: Fields) -> Caller:
        """Return who calls. A token counts more than a certificate: who sends a wrong one is refused.

        Raises:
            Refused: nobody may call without a proof, and there is none; or it is wrong.
        """
        authorization = fields.get(b"authorization")
        if authorization is not None:
            return self._by_token(authorization)
        for name in head.names:
            caller = self._by_certificate.get(name)
            if caller is not None:
                return caller
        if not self._anonymous:
            raise Refused(problems.UNAUTHENTICATED, "send 'Authorization: Bearer TOKEN'", fields=_CHALLENGE)
        if fields.get(b"origin") is not None:
            raise Refused(problems.FOREIGN_PAGE, "a request with the field Origin needs a token")
        if not self._any_host and not _HOST.match(fields.get(b"host") or b"localhost"):
            raise Refused(problems.FOREIGN_PAGE, "a request without a token must name the host localhost")
        return NOBODY

    def _by_token(self, authorization: bytes) -> Caller:
        found = _BEARER.match(authorization)
        token = b"" if found is None else found.group(1)
        if not 1 <= len(token) <= TOKEN_BYTES_MAX:
            raise Refused(problems.UNAUTHENTICATED, "send 'Authorization: Bearer TOKEN'", fields=_CHALLENGE)
        digest = hashlib.sha256(token).digest()
        known, caller = self._by_digest.get(digest, (_NO_DIGEST, NOBODY))
        if not hmac.compare_digest(known, digest):
            raise Refused(problems.UNAUTHENTICATED, "the token is wrong", fields=_WRONG)
        return caller
