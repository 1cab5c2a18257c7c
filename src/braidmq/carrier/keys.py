"""What each key has at a broker: connections, and bytes that wait for them. One member may not use up what is all's."""

from typing import Final

SPARE_CONNECTIONS: Final = 16
"""Connections of a key beyond twice `connections_per_key_max`, which the core counts and explains: those that are about
to be turned away, or whose end nobody has noticed yet."""


class KeyUse:
    """What a key has.

    Attributes:
        principal: the key; its connections share these bytes.
        connections: how many are through their handshakes.
        held_bytes: what waits to be sent over them.
        joining: what has come of a large message that is not complete, by the descriptor of its connection.
        joining_bytes: the sum of it.
        read_in: the turn in which it was read last, and read_bytes: how much was read in that turn.
    """

    __slots__ = ("connections", "held_bytes", "joining", "joining_bytes", "principal", "read_bytes", "read_in")

    def __init__(self, principal: str) -> None:
        self.principal = principal
        self.connections = 0
        self.held_bytes = 0
        self.joining: dict[int, int] = {}
        self.joining_bytes = 0
        self.read_in = 0
        self.read_bytes = 0


class Keys:
    """The keys that have something.

    Args:
        connections_per_key_max: see Settings.
    """

    def __init__(self, connections_per_key_max: int) -> None:
        self.connections_max = 2 * connections_per_key_max + SPARE_CONNECTIONS
        self._uses: dict[str, KeyUse] = {}

    def __len__(self) -> int:
        return len(self._uses)

    def is_full(self, principal: str) -> bool:
        """Whether a key may have no further connection."""
        use = self._uses.get(principal)
        return use is not None and use.connections >= self.connections_max

    def enter(self, principal: str) -> KeyUse:
        """Count a connection."""
        use = self._uses.get(principal)
        if use is None:
            use = self._uses[principal] = KeyUse(principal)
        use.connections += 1
        return use

    def leave(self, use: KeyUse) -> None:
        """Count a connection no more."""
        use.connections -= 1
        if not use.connections:
            assert not use.held_bytes, "nothing waits for no connection"
            assert not use.joining_bytes, "nothing comes over none"
            del self._uses[use.principal]
