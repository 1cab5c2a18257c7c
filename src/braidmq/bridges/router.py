"""The endpoint of a bridge: what a ROUTER of ZeroMQ is to foreign programs, on asyncio."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from braidmq.bridges.connections import Connections
from braidmq.bridges.limits import (
    CLOSE_S_MAX,
    FRAMES_MAX,
    HANDSHAKE_S_MAX,
    HELD_BYTES_MAX,
    READ_BYTES,
    READS_AT_ONCE,
    READS_AT_ONCE_OF_ONE,
    REST_S,
    SLACK_BYTES,
    UNREAD_BYTES_MAX,
)
from braidmq.bridges.link import Link
from braidmq.bridges.listening import Place
from braidmq.bridges.plain import PlainDoor
from braidmq.bridges.port import Peer
from braidmq.host.loggers import own_logger
from braidmq.zmtp.clear import DEALER, ROUTER, ClearEngine, encode
from braidmq.zmtp.violation import Refusal, Violation

_LOG = own_logger("braidmq.bridge")

COUNTED: Final = (
    "too_many_peers",
    "too_many_silent",
    "too_far_ahead",
    "too_large",
    "unread",
    "unreachable",
    "refused",
    "malformed",
)
"""What an endpoint counts."""


class Behind(Protocol):
    """What stands behind an endpoint."""

    def on_message(self, peer: Peer, frames: list[bytes]) -> None:
        """Take what a peer has sent."""

    def on_gone(self, peer: Peer) -> None:
        """Note that a peer's connection has ended. It has sent something before."""

    def on_read(self) -> None:
        """Note that all that was read together has been told."""


class Router:
    """An endpoint, and what it takes to know its peers. Create it inside a running event loop; end it with `close`.

    Who comes over a new connection may have had one that ends here: what it says counts after that end. So a new
    connection is heard in the turn of the event loop after the one that has read it.

    Args:
        behind: gets the messages.
        payload_bytes_max: of the net; a message may be a little longer.
        door: lets users in by PLAIN; None lets everybody in without a word.
        members: the names of users who are members of their own, by user name.

    Attributes:
        counters: what was dropped here, by reason.
        endpoints: where it listens, with the ports that the system has chosen.
        room: see link.Owner.
    """

    def __init__(
        self, behind: Behind, *, payload_bytes_max: int, door: PlainDoor | None = None, members: Mapping[str, str] = {}
    ) -> None:
        self._behind = behind
        self._door = door
        self._members = members
        self._bytes_max = payload_bytes_max + SLACK_BYTES
        self._loop = asyncio.get_running_loop()
        self._connections = Connections()
        self._waiting: dict[Link, None] = {}
        self._budget = READS_AT_ONCE
        self._turn_comes = False
        self._written: list[Link] = []
        self._held_bytes = 0
        self._blocked: set[Link] = set()
        self._there: set[Link] = set()
        self._all_lost = asyncio.Event()
        self._places: list[Place] = []
        self._numbers = 0
        self._closed = False
        self.room = memoryview(bytearray(READ_BYTES))
        self.counters = dict.fromkeys(COUNTED, 0)
        self.endpoints: list[str] = []

    @property
    def peers(self) -> int:
        """How many connections have said something."""
        return len(self._connections)

    def bind(self, endpoints: Sequence[str]) -> None:
        """Listen there.

        Raises:
            ConfigError: an endpoint cannot be listened on; the text says which one and why.
        """
        for endpoint in endpoints:
            place = Place(endpoint, self._make_link)
            self._places.append(place)
            self.endpoints.append(place.endpoint)

    def _make_link(self) -> Link:
        admits = None if self._door is None else self._door.admits
        return Link(self, ClearEngine(ROUTER, bytes_max=self._bytes_max, frames_max=FRAMES_MAX, admits=admits))

    def dialled(self, on_open: Callable[[], Peer], on_lost: Callable[[], None]) -> Link:
        """Return a connection for somebody to open to another endpoint, as a DEALER.

        Args:
            on_open: says who the other end is, once the handshake is complete.
            on_lost: is told that nothing is left of it, if it was opened.
        """
        engine = ClearEngine(DEALER, bytes_max=self._bytes_max, frames_max=FRAMES_MAX)
        return Link(self, engine, on_open, on_lost)

    async def close(self) -> None:
        """End; what was sent may leave within CLOSE_S_MAX."""
        if self._closed:
            return
        self._closed = True
        for place in self._places:
            place.close()
        for link in self._there:
            link.waits = False
        self._waiting.clear()
        for link in list(self._there):
            link.close()
        if self._there:
            try:
                async with asyncio.timeout(CLOSE_S_MAX):
                    await self._all_lost.wait()
            except TimeoutError:
                for link in self._there:
                    link.abort()

    # -- sending

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send a message now; return whether it has left, or waits here for its peer to read."""
        link = self._connections.link(peer)
        if link is None or not link.reachable or self._closed:
            self.counters["unreachable"] += 1
            return False
        if link.blocked and not self._may_wait(link):
            self.counters["unread"] += 1
            return False
        self._write(link, encode(frames))
        return True

    def _write(self, link: Link, data: bytes) -> None:
        if link.write(data):
            self._written.append(link)
            self._turn_soon()

    def _may_wait(self, link: Link) -> bool:
        """Whether a message may wait to be read. Who has the most where that is too much gets no room, or ends."""
        if link.is_full:
            return False
        self._blocked = {each for each in self._blocked if each.blocked and not each.ended}
        self._blocked.add(link)
        while sum(each.unread_bytes for each in self._blocked) > UNREAD_BYTES_MAX:
            most = max(self._blocked, key=lambda each: each.unread_bytes)
            if most is link:
                return False
            self.counters["unread"] += 1
            self._blocked.discard(most)
            self._cut(most)
        return True

    # -- its connections

    def on_made(self, link: Link) -> None:
        """See link.Owner."""
        self._there.add(link)
        self._all_lost.clear()
        if self._closed:
            link.abort()
            return
        link.handshake_timer = self._loop.call_later(HANDSHAKE_S_MAX, self._cut, link)
        oldest = self._connections.on_made(link)
        if oldest is not None:
            self.counters["too_many_silent"] += 1
            self._cut(oldest)

    def on_bytes(self, link: Link) -> None:
        """See link.Owner."""
        if link.rests:
            self._hold(link)
            return
        if link.waits or link.peer is None or self._budget <= 0:
            self._wait(link)
            return
        self._serve(link)
        self._behind.on_read()

    def on_end(self, link: Link) -> None:
        """See link.Owner."""
        if link.ended:
            return
        link.ended = True
        if not link.waits:
            self._forget(link)
            self._behind.on_read()

    def on_lost(self, link: Link) -> None:
        """See link.Owner."""
        self._there.discard(link)
        if link.on_lost is not None:
            link.on_lost()
        if not self._there:
            self._all_lost.set()

    def _wait(self, link: Link) -> None:
        """Let what it has sent be read in one of the next turns of the event loop."""
        self._waiting[link] = None
        self._hold(link)
        self._turn_soon()

    def _must_rest(self, link: Link) -> bool:
        """Let what it has sent wait for a while if some of it was in vain, unless it has hung up and sends no more."""
        peer = link.peer
        if peer is None or not peer.refused:
            return False
        rest_s, peer.refused = peer.refused * REST_S, 0
        if link.hung_up:
            return False
        link.rests = True
        self._hold(link)
        self._loop.call_later(rest_s, self._on_rested, link)
        return True

    def _on_rested(self, link: Link) -> None:
        link.rests = False
        if link.waits:
            self._wait(link)

    def _hold(self, link: Link) -> None:
        link.waits = True
        link.read(on=link.engine.held_bytes < READ_BYTES)
        self._count_held(link)

    def _turn_soon(self) -> None:
        if not self._turn_comes and not self._closed:
            self._turn_comes = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Send what was held back, and read what waits, or as much as goes before all else has its turn."""
        self._turn_comes = False
        written, self._written = self._written, []
        for link in written:
            link.flush()
        self._budget = READS_AT_ONCE
        if not self._waiting or self._closed:
            return
        for link in list(self._waiting):
            if self._budget <= 0:
                break
            if link.waits:  # one that was served may have cost another one its connection
                del self._waiting[link]
                link.waits = False
                self._serve(link)
        if self._waiting:
            self._turn_soon()
        self._behind.on_read()

    def _serve(self, link: Link) -> None:
        """Read some messages of a peer's."""
        self._turn_soon()  # it gives back the budget
        if self._must_rest(link):
            return
        engine = link.engine
        for _ in range(READS_AT_ONCE_OF_ONE):
            self._budget -= 1
            try:
                frames = engine.next()
            except Refusal:
                self.counters["refused"] += 1
                self._end(link)
                return
            except Violation:
                self.counters["too_large" if engine.too_large else "malformed"] += 1
                self._end(link)
                return
            if engine.output:
                link.write_output()
            if link.handshake_timer is not None and engine.open:
                self._on_open(link)
            if frames is None:
                break
            if frames:
                self._hear(link, frames)
            else:
                self.counters["too_large"] += engine.too_large
                engine.too_large = 0
        else:
            if engine.held_bytes:
                self._wait(link)
                return
        link.read(on=True)
        self._count_held(link)
        if link.ended:
            self._forget(link)

    def _on_open(self, link: Link) -> None:
        assert link.handshake_timer is not None
        link.handshake_timer.cancel()
        link.handshake_timer = None
        if link.on_open is not None:
            self._connections.add(link, link.on_open())

    def _hear(self, link: Link, frames: list[bytes]) -> None:
        peer = link.peer
        if peer is None:
            if self._connections.are_full:
                self.counters["too_many_peers"] += 1
                return
            self._numbers += 1
            user = link.engine.user
            peer = Peer(b"%d" % self._numbers, link.host, user, self._members.get(user, ""))
            self._connections.add(link, peer)
        try:
            self._behind.on_message(peer, frames)
        except Exception:  # noqa: BLE001 - a bug of ours, which must not cost what others have said
            _LOG.exception("the bridge met an error of its own")

    def _end(self, link: Link) -> None:
        """End a connection behind what its engine has to say, if it reads that; nothing more is read of it."""
        link.write_output()
        if link.blocked:
            link.abort()
        else:
            link.close()
            self._loop.call_later(CLOSE_S_MAX, link.abort)
        link.ended = True
        self._forget(link)

    def _cut(self, link: Link) -> None:
        """End a connection at once, and all that is held of it."""
        link.abort()
        if link.ended and not link.waits:
            return
        link.ended, link.waits = True, False
        self._waiting.pop(link, None)
        self._forget(link)
        self._behind.on_read()

    def _forget(self, link: Link) -> None:
        if link.handshake_timer is not None:
            link.handshake_timer.cancel()
            link.handshake_timer = None
        self._held_bytes -= link.counted_bytes
        link.counted_bytes = 0
        self._blocked.discard(link)
        peer = self._connections.forget(link)
        if peer is not None:
            self._behind.on_gone(peer)

    # -- what takes too much

    def _count_held(self, link: Link) -> None:
        """Count what is held; if that is too much in all, end the connection that has the most of it."""
        held = 0 if link.ended else link.engine.held_bytes
        self._held_bytes += held - link.counted_bytes
        link.counted_bytes = held
        while self._held_bytes > HELD_BYTES_MAX:
            most = max(self._there | self._waiting.keys(), key=lambda each: each.counted_bytes)
            self.counters["too_far_ahead"] += 1
            self._cut(most)
