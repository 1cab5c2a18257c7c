"""Bytes as a script: what a fuzzer changes here and there stays a row of doings, most of which are the same ones."""


class Script:
    """Hands out what stands in some bytes; behind their end there are only zeros.

    Attributes:
        over: whether they are at their end.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._data)

    def number(self, below: int) -> int:
        """Return a number from 0 on."""
        self._at += 1
        return self._data[self._at - 1] % below if self._at <= len(self._data) else 0

    def some(self, most: int) -> bytes:
        """Return so many bytes at most, as one of them says."""
        size = self.number(most + 1)
        self._at += size
        return self._data[self._at - size : self._at]

    def frames(self, most: int, bytes_max: int) -> list[bytes]:
        """Return some frames, one at least."""
        return [self.some(bytes_max) for _ in range(1 + self.number(most))]
