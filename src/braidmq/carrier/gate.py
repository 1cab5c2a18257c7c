"""Who gets in: asked in every handshake, and only registered keys do."""

from collections.abc import Callable

from braidmq.host.loggers import own_logger
from braidmq.members import Directory
from braidmq.zmtp.violation import Refusal

_LOG = own_logger("braidmq.broker")


def _never(_principal: str) -> bool:
    return False


class Gate:
    """The broker's Authorise (zmtp/handshake.py). Whatever is not a registered key is refused; so is every error.

    Attributes:
        barred: whether a registered key is kept out for now. It is told another thing than one that is not registered,
            which would be final.

    Args:
        directory: who is registered.
    """

    def __init__(self, directory: Directory) -> None:
        self.barred: Callable[[str], bool] = _never
        self._directory = directory

    def __call__(self, key: bytes) -> str:
        """Return the principal of a key. Raises Refusal."""
        principal = key.hex()
        try:
            member = self._directory.member(principal)
            barred = member is not None and self.barred(principal)
        except Exception:  # noqa: BLE001 - fail closed
            _LOG.exception("a key that could not be judged is refused")
            raise Refusal("500", f"the key {principal[:16]}...") from None
        if member is None:
            raise Refusal("400", f"the key {principal[:16]}...")
        if barred:
            raise Refusal("300", member.name)
        return principal
