"""What bytes make of fragments: each byte string is a writer's doings, and what a peer does that keeps no rule.

What an honest writer sends comes out whole and once, in an order that is allowed; what a hostile one sends is a message
of that very content, or a Misdeed, and never takes more memory than has come.
"""

from braidmq.carrier.fragments import FRAGMENT_BYTES, LAST, MORE, WHOLE_BYTES_MAX, Joiner
from braidmq.carrier.outbox import Outbox
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zmtp.violation import Misdeed
from fuzz.zmtp import Doings

BYTES_MAX = 600

MESSAGE_BYTES_MAX = 5 * BUNDLE_BYTES

SIZES = (0, 1, 255, BUNDLE_BYTES // 2, FRAGMENT_BYTES - 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1)


class Hostile:
    """A peer that sends any fragments."""

    def __init__(self) -> None:
        self.joiner = Joiner(MESSAGE_BYTES_MAX)
        self.said = bytearray()
        self.cut = False

    def do(self, doings: Doings) -> None:
        """Send a fragment, and see what comes of it."""
        what = doings.number()
        content = bytes((doings.number(),)) * SIZES[what % len(SIZES)]
        last = bool(what & 128)
        self.said += content
        may = 0 < len(content) <= FRAGMENT_BYTES and len(self.said) <= MESSAGE_BYTES_MAX
        may = may and not (last and len(self.said) <= BUNDLE_BYTES)
        try:
            message = self.joiner.add(memoryview(bytes((LAST if last else MORE,)) + content))
        except Misdeed:
            assert not may, "refuses what may be said"
            self.cut = True
            return
        assert may, "takes what nobody may say"
        assert message == (bytes(self.said) if last else None), "makes something else of it"
        if last:
            self.said.clear()
        assert self.joiner.bytes == len(self.said), "does not know what it has"


class Honest:
    """A writer, and the reader of its frames."""

    def __init__(self) -> None:
        self.outbox = Outbox(fragments=True)
        self.joiner = Joiner(MESSAGE_BYTES_MAX)
        self.sent: list[bytes] = []
        self.got: list[bytes] = []

    def do(self, doings: Doings) -> None:
        """Send something, or let a frame leave."""
        what = doings.number()
        if what & 1:
            size = 12 + (what >> 1) * 2_000
            self.sent.append((bytes(5) + bytes((doings.number(), len(self.sent) % 256))).ljust(size, b"."))
            self.outbox.add(self.sent[-1:])
        elif self.outbox:
            self.leave()

    def leave(self) -> None:
        """Let a frame leave."""
        if not self.outbox.cuts:
            self.got += self.outbox.take_bundle()
            return
        message, begin, end = self.outbox.piece()
        self.outbox.piece_left()
        mark = bytes((LAST if end == len(message) else MORE,))
        whole = self.joiner.add(memoryview(mark + message[begin:end]))
        if whole is not None:
            self.got.append(whole)

    def end(self) -> None:
        """See what never left, or let all leave, and see that nothing is lost."""
        if len(self.sent) % 2:
            self.got += self.outbox.take([])
        while self.outbox:
            self.leave()
        assert sorted(self.got) == sorted(self.sent), "something is lost, torn or doubled"
        large = [[each for each in some if len(each) > WHOLE_BYTES_MAX] for some in (self.sent, self.got)]
        assert large[0] == large[1], "large ones in another order"


def one(data: bytes) -> tuple[Hostile, Honest]:
    """Let both do what the bytes say.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    doings = Doings(data)
    hostile, honest = Hostile(), Honest()
    while doings:
        if doings.number() & 1:
            honest.do(doings)
        elif not hostile.cut:
            hostile.do(doings)
    honest.end()
    return hostile, honest


SEEDS = (
    b"\x00\x05\x07\x00\x83\x07\x00\x05\x07\x00\x83\x07",
    b"\x01\xff\x01\x01\x03\x01\x01\x00\x01\x00\x01\x03\x05\x01\x00\x01\x00\x01\x00\x01\x00",
    b"\x00\x00\x07",
    b"\x00\x06\x07",
    b"\x00\x05\x01\x00\x05\x01\x00\x05\x01\x00\x05\x01\x00\x05\x01\x00\x05\x01",
)
"""Doings to begin with: whole messages, small ones between large ones, what is empty, what is too long."""
