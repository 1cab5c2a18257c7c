"""Who may in by PLAIN."""

import hmac
from collections.abc import Mapping
from typing import Final

_UNKNOWN: Final = b"\0" * 16
"""Stands for the password of a user who has none, so that it takes no less time to refuse."""


class PlainDoor:
    """Users and their passwords. Neither a password nor what was given for one is ever logged.

    Args:
        passwords: by user name.
    """

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = {user.encode(): password.encode() for user, password in passwords.items()}

    def admits(self, user: bytes, given: bytes) -> bool:
        """Whether this is a user's password."""
        password = self._passwords.get(user)
        return hmac.compare_digest(given, _UNKNOWN if password is None else password) and password is not None
