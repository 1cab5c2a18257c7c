"""Where a bridge may listen without being asked twice."""

from collections.abc import Sequence
from ipaddress import ip_address

from braidmq.checks import port_of
from braidmq.errors import ConfigError


def check_endpoint(endpoint: str, *, any_port: bool) -> None:
    """Make sure that an endpoint is one of those that bridges know.

    Args:
        endpoint: of ZeroMQ.
        any_port: whether it may leave the choice of its port to the system, as ``tcp://127.0.0.1:*``.

    Raises:
        ConfigError: it is no endpoint of TCP or of a Unix socket.
    """
    scheme, _, place = endpoint.partition("://")
    if scheme == "ipc" and place:
        return
    host, _, digits = place.rpartition(":")
    port = 0 if digits == "*" else port_of(digits)
    if scheme != "tcp" or not host or port is None or (not port and not any_port):
        raise ConfigError(f"{endpoint!r} is no endpoint: write tcp://HOST:PORT, with a port up to 65535, or ipc://PATH")


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
        ConfigError: one of them is none, or other machines could reach it, and nobody has allowed that.
    """
    for endpoint in endpoints:
        check_endpoint(endpoint, any_port=True)
        if not allowed and not is_near(endpoint):
            raise ConfigError(
                f"{endpoint} can be reached from other machines, and {why}: listen at 127.0.0.1 behind a tunnel, or "
                "say insecure_bind = true (--insecure-bind)"
            )
