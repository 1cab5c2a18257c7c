"""What foreign connections have sent that is no whole message yet, or that nobody has read.

libzmq takes in a message of many frames as a whole before it shows the first of them, and has no option for how long
it may become. So what the system has received for a connection is held against whether anything of it could be read.
"""

from collections.abc import Collection, Mapping


class Backlog:
    """The backlog of each connection, by its descriptor.

    Args:
        one_bytes_max: most of one connection.
        all_bytes_max: most of all together.
    """

    def __init__(self, one_bytes_max: int, all_bytes_max: int) -> None:
        self._one_bytes_max = one_bytes_max
        self._all_bytes_max = all_bytes_max
        self._read_until: dict[int, int] = {}

    def on_accepted(self, descriptor: int) -> None:
        """Note a new connection."""
        self._read_until[descriptor] = 0

    def on_disconnected(self, descriptor: int) -> None:
        """Note the end of a connection."""
        self._read_until.pop(descriptor, None)

    def look(self, received: Mapping[int, int], read: Collection[int]) -> list[int]:
        """Return which connections must end, those with the most first.

        Args:
            received: bytes since the beginning of each connection, by descriptor.
            read: descriptors of those of which a whole message has been read since the last look: frames of two
                messages do not mix, so whatever stands behind it began less than a look ago.
        """
        ahead: dict[int, int] = {}
        for descriptor, count in received.items():
            if descriptor in read:
                self._read_until[descriptor] = count
            else:
                ahead[descriptor] = count - self._read_until.get(descriptor, 0)
        total = sum(ahead.values())
        ends = []
        for descriptor in sorted(ahead, key=ahead.__getitem__, reverse=True):
            if ahead[descriptor] <= self._one_bytes_max and total <= self._all_bytes_max:
                break
            ends.append(descriptor)
            total -= ahead[descriptor]
        return ends
