"""What the keys of BraidMQ are called among those of others: ``braidmq/NET/...``, each with the bridge that says it.

========================================  ==================================================
``braidmq/NET/bridge/NAME/PROTOCOL``      where the bridge NAME listens for programs of PROTOCOL
``braidmq/NET/broker/BROKER/NAME``        where the broker BROKER can be reached, as NAME knows it
``braidmq/NET/service/SERVICE/NAME``      how many brokers have a worker for SERVICE, as NAME knows it
========================================  ==================================================

Endpoints are separated by spaces. An empty value: it is gone. Every key belongs to one bridge, so that two bridges
never have to agree on a value: zgossip has no order in which they could.
"""

from collections.abc import Iterable, Mapping
from typing import Final

_ROOT: Final = "braidmq/"


class Keys:
    """The keys of one bridge.

    Args:
        net: what its net is called.
        name: of the bridge's member.
    """

    def __init__(self, net: str, name: str) -> None:
        self._prefix = f"{_ROOT}{net}/"
        self._prefix_bytes = self._prefix.encode()
        self._name = name.encode()

    def facts(
        self,
        bridges: Mapping[str, Iterable[str]],
        brokers: Mapping[str, Iterable[str]],
        services: Mapping[str, int],
    ) -> dict[bytes, bytes]:
        """Return what the bridge is to publish.

        Args:
            bridges: endpoints by protocol.
            brokers: endpoints by the broker's name.
            services: how many brokers have a worker, by service.
        """
        name = self._name.decode()
        told = {f"bridge/{name}/{protocol}": " ".join(endpoints) for protocol, endpoints in bridges.items()}
        told |= {f"broker/{broker}/{name}": " ".join(endpoints) for broker, endpoints in brokers.items()}
        told |= {f"service/{service}/{name}": str(count) for service, count in services.items() if count}
        return {(self._prefix + key).encode(): value.encode() for key, value in told.items() if value}

    def owner(self, key: bytes) -> bytes | None:
        """Return to which bridge of this net a key belongs; None if it is no key of this net's."""
        if not key.startswith(self._prefix_bytes):
            return None
        kind, _, rest = key.removeprefix(self._prefix_bytes).partition(b"/")
        if kind == b"bridge":
            return rest.partition(b"/")[0]
        return rest.rpartition(b"/")[2] if kind in (b"broker", b"service") else None

    def is_own(self, key: bytes) -> bool:
        """Whether a key belongs to this bridge."""
        return self.owner(key) == self._name


def is_ours(key: bytes) -> bool:
    """Whether a key is below the root under which bridges publish, of whatever net."""
    return key.startswith(_ROOT.encode())
