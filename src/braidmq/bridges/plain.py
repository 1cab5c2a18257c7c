"""Who may in by PLAIN: answers the questions of libzmq by ZAP (RFC 27)."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

_VERSION: Final = b"1.0"

_QUESTION_FRAMES: Final = 8
"""Version, request id, domain, address, routing id, mechanism, user name, password."""

_UNKNOWN: Final = b"\0" * 16
"""Stands for the password of a user who has none, so that it takes no less time to refuse."""


class PlainDoor:
    """Users and their passwords. Neither a password nor what was given for one is ever logged.

    Args:
        passwords: by user name.

    Attributes:
        refused: how many were refused.
    """

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = {user.encode(): password.encode() for user, password in passwords.items()}
        self.refused = 0

    def answer(self, question: Sequence[bytes]) -> list[bytes]:
        """Return the answer to a question of libzmq: 200 with the user's name as User-Id, or 400."""
        request = question[1] if len(question) > 1 else b""
        if len(question) == _QUESTION_FRAMES and question[0] == _VERSION and question[5] == b"PLAIN":
            user, given = question[6:8]
            password = self._passwords.get(user)
            if hmac.compare_digest(given, _UNKNOWN if password is None else password) and password is not None:
                return [_VERSION, request, b"200", b"OK", user, b""]
        self.refused += 1
        return [_VERSION, request, b"400", b"refused", b"", b""]
