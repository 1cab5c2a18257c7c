"""Where a bridge may listen without being asked twice."""

from collections.abc import Sequence
from ipaddress import ip_address

from braidmq.errors import ConfigError


def is_near(endpoint: str) -> bool:
    """Whether only programs of this machine can reach an endpoint of ZeroMQ."""
    scheme, _, place = endpoint.partition("://")
    if scheme == "ipc":
        return True
    host = place.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, a device, or *
        return False


def check_near(endpoints: Sequence[str], *, allowed: bool, why: str) -> None:
    """Make sure that nobody listens for other machines by mistake.

    Args:
        endpoints: where a bridge is to listen.
        allowed: somebody has said that it may.
        why: what is wrong with it, as in "PLAIN passwords can be read on the way".

    Raises:
        ConfigError: other machines could reach one of them, and nobody has allowed it.
    """
    for endpoint in endpoints:
        if not allowed and not is_near(endpoint):
            raise ConfigError(
                f"{endpoint} can be reached from other machines, and {why}: listen at 127.0.0.1 behind a tunnel, or "
                "say insecure_bind = true (--insecure-bind)"
            )
