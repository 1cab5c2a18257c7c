"""One connection to one broker: a disposable DEALER, its monitor, and what waits to be sent."""

import errno
from collections.abc import Iterator
from typing import Final, Protocol

import zmq

from braidmq.core.links.link import Failure, Open, Step
from braidmq.host.room import NoRoom, room
from braidmq.settings import Settings
from braidmq.turn.unsent import Unsent
from braidmq.wire.bundle import join
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zeromq.inherited import close_copy
from braidmq.zeromq.monitor import Monitor
from braidmq.zeromq.port_guard import guard_port
from braidmq.zeromq.sockets import CONNECTION_DESCRIPTORS, connect, new_dealer, readable, sending
from braidmq.zeromq.unread import FRAME_BYTES, UNREAD_BYTES_MAX, received

FRAMES_PER_TURN: Final = 64
"""Frames read from one connection before others, timers and the callers of what has come have their turn."""

BYTES_PER_TURN: Final = 256 * 1024
"""Bytes read at one go: some tens of payloads of 4 KiB, whose callers then run for some milliseconds. With more, a
process of many nodes would be late with its deadlines."""

_NOBLOCK: Final = int(zmq.NOBLOCK)

_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
)
_CUT_OFF: Final = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_MISFIT: Final = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_STEPS: Final = {
    int(zmq.EVENT_CONNECTED): Step.REACHED,
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): Step.GREETED,
}
_FAILURES: Final = {
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): Failure.NOT_REGISTERED,
    int(zmq.EVENT_CLOSED): Failure.UNREACHABLE,
    int(zmq.EVENT_DISCONNECTED): Failure.CLOSED,
}
_CUT_OFF_BY: Final = {
    errno.EAGAIN: Failure.MUTE,
    errno.ECONNRESET: Failure.RESET,
}
"""Why a handshake was not completed, by the error number that libzmq tells: it has waited in vain, or was cut off."""

_OTHER_MECHANISM: Final = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)


class ConnectError(Exception):
    """A connection could not even be begun.

    Attributes:
        failure: why, for the core.
    """

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class Identity(Protocol):
    """The CURVE key pair that a connection is made with."""

    @property
    def public_key(self) -> bytes:
        """32 bytes, or 40 in Z85."""

    @property
    def secret_key(self) -> bytes:
        """32 bytes, or 40 in Z85."""


class Dealer:
    """One attempt at a connection, from its first packet to its end; never used again afterwards.

    Attributes:
        unread: bytes that the broker has sent and nobody has taken, as of the last look, if there are many.

    Raises:
        ConnectError: this process has no descriptors for it, or libzmq cannot use the address.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], settings: Settings, identity: Identity, target: Open
    ) -> None:
        self.name = target.name
        try:
            with room(f"a connection to {target.name}", descriptors=CONNECTION_DESCRIPTORS):
                self.socket = new_dealer(
                    context,
                    settings,
                    public_key=identity.public_key,
                    secret_key=identity.secret_key,
                    broker_key=target.key,
                )
                self.monitor = Monitor(self.socket, int(_EVENTS))
        except (NoRoom, zmq.ZMQError) as error:
            raise ConnectError(str(error), Failure.NO_ROOM) from None
        self._send_frame = sending(self.socket)
        self._endpoint = target.endpoint
        self._descriptor = -1
        self._greeted = False
        self._more_expected = False
        self._backlog = Unsent()
        self._backlog_bytes_max = settings.outbox_bytes_max
        self._taken = 0
        self._unread_bytes_max = settings.in_flight_bytes_max + UNREAD_BYTES_MAX
        self.unread = 0
        self._guard = guard_port(target.endpoint)
        try:
            connect(self.socket, target.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConnectError(str(error), Failure.UNREACHABLE) from None

    def has_more(self) -> bool:
        """Whether another frame has come. Asking consumes the edge of the descriptor: read afterwards, or ask again."""
        self._more_expected = readable(self.socket)
        return self._more_expected

    def fileno(self) -> int:
        """Return the descriptor that tells of frames."""
        return self.socket.fileno()

    @property
    def blocked(self) -> bool:
        """Whether messages wait for `flush`."""
        return bool(self._backlog)

    @property
    def overflowed(self) -> bool:
        """Whether the broker reads so slowly that the connection must be given up."""
        return self._backlog.bytes > self._backlog_bytes_max

    @property
    def flooded(self) -> bool:
        """Whether the broker sends more than can be read, so that the connection must be given up."""
        return self.unread > self._unread_bytes_max

    def receive(self) -> list[bytes]:
        """Return frames that have come; call it when the descriptor or `has_more` says that there may be some.

        At most FRAMES_PER_TURN and about BYTES_PER_TURN, and only one while one at a time comes: whether there is
        another one is asked after it was handled anyway.
        """
        socket = self.socket
        frames: list[bytes] = []
        size = 0
        try:
            while True:
                frame = socket.recv(_NOBLOCK)
                frames.append(frame)
                size += len(frame)
                if not self._more_expected:
                    break
                if size > BYTES_PER_TURN or len(frames) == FRAMES_PER_TURN:
                    unread = received(self._descriptor) - self._taken - size - len(frames) * FRAME_BYTES
                    self.unread = max(0, unread)
                    break
                if not readable(socket):
                    self.unread = 0
                    break
        except zmq.Again:
            self.unread = 0  # the descriptor tells of other things as well
        self._taken += size + len(frames) * FRAME_BYTES
        return frames

    def send(self, messages: list[bytes]) -> None:
        """Send messages as bundles; what libzmq does not take now is kept for `flush`."""
        if self._backlog:
            self._backlog.add(messages)
            return
        sent = 0
        for bundle, count in join(messages):
            try:
                self._send_frame(bundle, _NOBLOCK)
            except zmq.Again:
                self._backlog.add(messages[sent:])
                return
            sent += count

    def flush(self) -> bool:
        """Send what waits; return whether nothing waits any more."""
        while self._backlog:
            some = self._backlog.take_some(BUNDLE_BYTES)
            try:
                self._send_frame(b"".join(some), _NOBLOCK)
            except zmq.Again:
                self._backlog.put_back(some)
                return False
        return True

    def events(self) -> Iterator[Step | Failure]:
        """Yield what happened to the connection: how far it has come, or why it ended."""
        for event, value in self.monitor.read():
            self._drop_guard()  # the connection has its port by now
            step = _STEPS.get(event)
            if event == zmq.EVENT_CONNECTED:
                self._descriptor = value
            if step is not None:
                self._greeted = self._greeted or step is Step.GREETED
                yield step
            elif event == _CUT_OFF:
                yield _CUT_OFF_BY.get(value, Failure.HUNG_UP)
            elif event == _MISFIT:
                yield Failure.FOREIGN if value == _OTHER_MECHANISM else Failure.NOT_THIS_BROKER
            elif event == zmq.EVENT_DISCONNECTED and not self._greeted:  # libzmq hangs up on what is not ZMTP 3
                yield Failure.FOREIGN
            else:
                yield _FAILURES[event]

    def close(self, linger_s: float = 0.0) -> list[bytes]:
        """Close the connection, and return the messages that certainly never left."""
        self._drop_guard()
        self.monitor.close()
        self.socket.close(int(linger_s * 1000))
        return self._backlog.take()

    def let_go(self) -> None:
        """In a forked child: close this process's copy of the connection, which says nothing to the broker.

        The broker could not notice the end of the parent otherwise while the child lives.
        """
        if self._descriptor >= 0:
            close_copy(self._descriptor, self._endpoint)
        self._drop_guard()

    def _drop_guard(self) -> None:
        if self._guard is not None:
            self._guard.close()
            self._guard = None
