"""Who may read and do what over HTTP: hosts, origins, the token, and those who have logged in. Pure."""

import hmac
import re
from collections.abc import Callable, Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from braidmq.checks import is_address, split_host
from braidmq.errors import ConfigError

TOKEN_CHARS_MIN: Final = 16
"""Fewer characters could be guessed: nothing slows down who tries them."""

TOKEN_CHARS_MAX: Final = 512
"""More are no token, but a file of something else."""

LOGINS_MAX: Final = 64
"""Browsers that are logged in at once. The one that came first goes if there are more."""

LOGIN_S: Final = 12 * 3_600.0
"""How long a login lasts: a working day."""

_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})\Z")

_PORTS: Final = {"http": 80, "https": 443}


def check_token(token: str, where: str) -> str:
    """Return a token without the white space around it.

    Raises:
        ConfigError: it is too short, too long, or not of printable ASCII.
    """
    token = token.strip()
    if not TOKEN_CHARS_MIN <= len(token) <= TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"the token in {where} has to be of {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} printable ASCII characters: "
            "make one by `openssl rand -hex 32`"
        )
    return token


def check_host(name: str) -> str:
    """Return a name under which a monitor is reached.

    Raises:
        ConfigError: no request can have it in its Host.
    """
    if not _NAME.match(name):
        raise ConfigError(
            f"{name!r} is no name of a host: write it alone, without scheme and port, as monitor.example.com"
        )
    return name


class Access:
    """Decides who may read and act.

    Args:
        token: what shows that somebody may; None if everybody may read who gets here, and nobody may act.
        hosts: names under which the monitor is reached, besides `localhost` and addresses.
        make_secret: returns a new one that nobody can guess.
    """

    def __init__(self, token: str | None, hosts: Collection[str], make_secret: Callable[[], str]) -> None:
        self._token = None if token is None else token.encode()
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts) | {"localhost"}
        self._make_secret = make_secret
        self._logins: dict[str, float] = {}

    @property
    def token_required(self) -> bool:
        """Whether one has to show the token to read."""
        return self._token is not None

    def knows_host(self, hosts: Sequence[str]) -> bool:
        """Whether the Host of a request is one of this monitor's: an address, or a name that it was told.

        A page of somebody else whose name was made to lead here (DNS rebinding) has that name in it.
        """
        if len(hosts) != 1:
            return False
        name, _ = split_host(hosts[0])
        return name in self._hosts or is_address(name)

    def is_own(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` is one of this monitor's, which was reached as `host`.

        The scheme does not count: a proxy may speak HTTPS for it.
        """
        try:
            parts = urlsplit(origin)
            port = parts.port
        except ValueError:
            return False
        if parts.scheme not in _PORTS or parts.hostname is None or parts.path:
            return False
        name, own_port = split_host(host)
        usual = _PORTS[parts.scheme]
        return parts.hostname == name and (usual if port is None else port) == (usual if own_port is None else own_port)

    def fits(self, token: str) -> bool:
        """Whether it is the token. How long that takes tells nothing of it."""
        return self._token is not None and hmac.compare_digest(self._token, token.encode())

    def log_in(self, now_s: float) -> str:
        """Return the secret by which somebody who has shown the token is known from now on."""
        self._logins = {secret: end_s for secret, end_s in self._logins.items() if end_s > now_s}
        while len(self._logins) >= LOGINS_MAX:
            del self._logins[next(iter(self._logins))]
        secret = self._make_secret()
        self._logins[secret] = now_s + LOGIN_S
        return secret

    def log_out(self, secret: str) -> None:
        """Forget somebody who had logged in."""
        self._logins.pop(secret, None)

    def is_logged_in(self, secret: str, now_s: float) -> bool:
        """Whether somebody has logged in with this secret, and not too long ago."""
        return any(
            hmac.compare_digest(known.encode(), secret.encode()) and now_s < end_s
            for known, end_s in self._logins.items()
        )
