"""Those who are not let in, and of which kind they are (core/broker/refusals.py)."""

from collections.abc import Callable
from typing import Final

from braidmq.carrier.gate import Barred, Early, NoMember, Throng, Unjudged
from braidmq.core.broker.refusals import Refused
from braidmq.members import Standing
from braidmq.zmtp.violation import ForeignProtocol, LacksCurve, Refusal, SpeaksHttp, Violation, WrongServer

Tell = Callable[[Refused, str, str, str, Exception | None], None]
"""Is told who was refused: of which kind, who, from where, what it did, and by which error of our own."""

_STANDINGS: Final = {
    Standing.REMOVED: Refused.REMOVED,
    Standing.REVOKED: Refused.REVOKED,
    Standing.EXPIRED: Refused.EXPIRED,
}
_VIOLATIONS: Final[tuple[tuple[type[Violation], Refused], ...]] = (
    (WrongServer, Refused.OTHER_KEY),
    (SpeaksHttp, Refused.HTTP),
    (LacksCurve, Refused.NO_CURVE),
    (ForeignProtocol, Refused.FOREIGN),
)


def nobody(_kind: Refused, _who: str, _where: str, _what: str, _error: Exception | None) -> None:
    """Tell nobody."""


def on_refusal(tell: Tell, address: str, refusal: Refusal) -> None:
    """Tell of a key that was refused within its handshake."""
    if isinstance(refusal, Early):
        return  # it comes again
    if isinstance(refusal, Unjudged):
        error = refusal.error
        tell(Refused.UNJUDGED, refusal.who, address, f"{type(error).__name__}: {error}", error)
        return
    kind = Refused.UNKNOWN
    if isinstance(refusal, NoMember):
        kind = _STANDINGS.get(refusal.standing, kind)
    elif isinstance(refusal, Throng):
        kind = Refused.THRONG
    elif isinstance(refusal, Barred):
        kind = Refused.BARRED
    tell(kind, refusal.who, address, "", None)


def on_violation(tell: Tell, address: str, violation: Violation) -> None:
    """Tell of a connection that has not kept to the protocol before anything was known of it."""
    found = (kind for mistake, kind in _VIOLATIONS if isinstance(violation, mistake))
    tell(next(found, Refused.HANDSHAKE), "", address, str(violation), None)
