"""Who gets in: asked in every handshake, and only registered keys do."""

from collections.abc import Callable
from typing import Final

from braidmq.members import Directory, Member, Standing
from braidmq.zmtp.violation import Refusal

_PLAIN: Final = (Standing.UNKNOWN, Standing.MEMBER)
"""What a client is told by the status alone."""


class Unjudged(Refusal):
    """A key could not be judged, and is refused.

    Attributes:
        error: why.
    """

    def __init__(self, who: str, error: Exception) -> None:
        super().__init__("500", who, "unjudged")
        self.error = error


class NoMember(Refusal):
    """A key is no member's.

    Attributes:
        standing: why not, as far as the registry tells.
    """

    def __init__(self, who: str, standing: Standing) -> None:
        super().__init__("400", who, "" if standing in _PLAIN else standing.value)
        self.standing = standing


class Barred(Refusal):
    """A registered key is kept out for some seconds, because of what it has done."""

    def __init__(self, who: str) -> None:
        super().__init__("300", who, "barred")


class Throng(Refusal):
    """A key has so many connections already that it gets no more for now."""

    def __init__(self, who: str) -> None:
        super().__init__("300", who, "throng")


class Early(Refusal):
    """A node comes while its broker still asks the others for the newest registry, or somebody while it has none."""

    def __init__(self, who: str) -> None:
        super().__init__("300", who, "early")


def _never(_principal: str) -> bool:
    return False


def _ready(_member: Member) -> bool:
    return False


def _seeing() -> bool:
    return False


def _nobody(_principal: str) -> str:
    return ""


class Gate:
    """The broker's Authorise (zmtp/handshake.py). Whatever is not a registered key is refused; so is every error.

    Attributes:
        barred: whether a registered key is kept out for now. It is told another thing than one that is not registered,
            which would be final.
        early: whether a member is to come again later.
        blind: whether no registry is known yet, so that nothing follows from a key that is in none.
        former: the name under which a key was registered that is not any more; empty if that is not known.

    Args:
        directory: who is registered.
    """

    def __init__(self, directory: Directory) -> None:
        self.barred: Callable[[str], bool] = _never
        self.early: Callable[[Member], bool] = _ready
        self.blind: Callable[[], bool] = _seeing
        self.former: Callable[[str], str] = _nobody
        self._directory = directory

    def __call__(self, key: bytes) -> str:
        """Return the principal of a key. Raises Refusal."""
        principal = key.hex()
        try:
            member = self._directory.member(principal)
            barred = member is not None and self.barred(principal)
            standing = Standing.MEMBER if member is not None else self._directory.standing(principal)
            early = self.blind() if member is None else self.early(member)
            former = self.former(principal) if member is None else ""
        except Exception as error:  # noqa: BLE001 - fail closed
            raise Unjudged(shown(principal), error) from None
        if member is None:
            if early:
                raise Early(shown(principal))
            raise NoMember(former or shown(principal), standing)
        if barred:
            raise Barred(member.name)
        if early:
            raise Early(member.name)
        return principal


def shown(principal: str) -> str:
    """Return what a log calls a key whose member is not known."""
    return f"the key {principal[:16]}..."
