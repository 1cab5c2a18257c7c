"""A broker's listener without a broker: real sockets on loopback, and both ends served by one thread."""

import os
import socket
from contextlib import ExitStack, contextmanager
from time import monotonic

from nacl.bindings import crypto_scalarmult_base

from braidmq.carrier.event_lines import log_event
from braidmq.carrier.fragments import UNDERSTANDS
from braidmq.carrier.listener import Listener
from braidmq.carrier.poller import Poller
from braidmq.carrier.rooms import Rooms
from braidmq.carrier.stream import Stream
from braidmq.core.broker.refusals import Refusals
from braidmq.core.events.log import EventLog
from braidmq.host.loggers import own_logger
from braidmq.settings import KIB, Settings
from braidmq.zmtp.handshake import ClientHandshake, KeyPair
from tests.support.zmtp import COMMAND, HandClient, bodies, framed, greeting

_LOG = own_logger("braidmq.broker")

WAIT_S_MAX = 20.0
START_S = 100.0
"""When a rig's clock begins: no test depends on how long its machine has been up."""
FRAME_BYTES_MAX = 64 * 1024 * KIB


def new_pair():
    secret = os.urandom(32)
    return KeyPair(crypto_scalarmult_base(secret), secret)


def everyone(key):
    return key.hex()


class Rig:
    """The listener, what has come out of it, and its peers.

    Attributes:
        now: the time that the listener is told: a test stops the clock by it, at START_S or later. Until then it goes.
    """

    def __init__(self, settings=None, authorise=everyone, bind="tcp://127.0.0.1:0"):
        self.pair = new_pair()
        self.poller = Poller()
        self.listener = Listener(settings or Settings.test(), self.pair, authorise, os.urandom, self.poller)
        self.counters: dict[str, int] = {}
        self._events = EventLog()
        self._refusals = Refusals(self.counters, self._events)
        self.listener.tell = self._tell
        self.endpoint = self.listener.bind(bind)
        self.port = 0 if bind.startswith("ipc:") else int(self.endpoint.rpartition(":")[2])
        self.now = None
        self._began_at = monotonic()
        self.told = []
        self.frames, self.gone, self.breaches = [], {}, []
        self._open = ExitStack()

    def close(self):
        self._open.close()
        self.listener.close(0.0)
        self.poller.close()

    def turn(self, timeout_s=0.0):
        """Let the listener have a turn, as a broker's thread does; return what has come in it."""
        listener = self.listener
        ready = list(self.poller.wait(0.0 if listener.has_more else timeout_s))
        self.told = [descriptor for descriptor, _ in ready]
        for descriptor, only_writable in ready:
            listener.mark(descriptor, only_writable=only_writable)
        now = self._time()
        came = listener.frames(now)
        self.frames += came
        self.breaches += listener.breaches()
        listener.flush(now)
        for route, unsent in listener.take_gone(now):
            self.gone.setdefault(route, []).extend(unsent)
        self._refusals.on_tick(now)
        for event in self._events.take():
            log_event(_LOG, event)
        return came

    def _tell(self, kind, who, where, what, _error):
        self._refusals.note(kind, who, self._time(), where=where, what=what)

    def _time(self):
        return START_S + monotonic() - self._began_at if self.now is None else self.now

    def until(self, condition, *peers):
        """Give turns to all until a condition holds."""
        give_up_at = monotonic() + WAIT_S_MAX
        while not condition():
            assert monotonic() < give_up_at
            self.turn(0.001)
            for peer in peers:
                peer.serve()

    def far(self, host="127.0.0.1", *, receive_bytes=0, family=socket.AF_INET):
        """Return the far end of a new connection, connected by the system alone."""
        far = self._open.enter_context(socket.socket(family))
        if receive_bytes:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if family == socket.AF_INET:
            far.bind((host, 0))
        far.connect(("127.0.0.1" if family == socket.AF_INET else "::1", self.port))
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.setblocking(False)
        return far

    def member(self, keys=None, *, tells=UNDERSTANDS, **options):
        """Return a peer whose handshake is complete."""
        peer = Far(self, self.far(**options), keys or new_pair(), tells)
        self.until(lambda: peer.open and self.listener._routes.get(peer.near_route), peer)
        return peer

    def by_hand(self, keys=None, **options):
        """Return a socket and a client by hand whose handshake is complete; its next nonce is 3."""
        far = self.far(**options)
        hand = HandClient(keys or new_pair(), self.pair.public)
        came = b""

        def read(count):
            nonlocal came
            give_up_at = monotonic() + WAIT_S_MAX
            while len(came) < count:
                assert monotonic() < give_up_at
                self.turn(0.001)
                try:
                    came += far.recv(count - len(came))
                except BlockingIOError:
                    continue
            taken, came = came[:count], came[count:]
            return taken

        far.sendall(greeting() + framed(hand.hello(), COMMAND))
        read(64)
        [welcome] = bodies(read(170))
        hand.on_welcome(welcome)
        far.sendall(framed(hand.initiate(), COMMAND))
        head = read(2)
        read(head[1])
        return far, hand


class Far:
    """A member's end of a connection: a Stream, and what a test wants to know beside."""

    def __init__(self, rig, far, keys, tells=UNDERSTANDS):
        handshake = ClientHandshake(keys, rig.pair.public, os.urandom, properties=tells)
        self.stream = Stream(far, handshake, FRAME_BYTES_MAX, Rooms())
        self._rig = rig
        self._name = far.getsockname()[:2]
        self.heard = []
        self.reads = True

    def __getattr__(self, name):
        return getattr(self.stream, name)

    @property
    def near_route(self):
        """What the listener calls it."""
        for peer in self._rig.listener._peers.values():
            try:
                host, port = peer._socket.getpeername()[:2]
                if (host.removeprefix("::ffff:"), port) == self._name:
                    return peer.route
            except OSError:
                continue
        return None

    @property
    def ended(self):
        return self.end is not None

    def serve(self):
        """Read what has come, and send what waits."""
        if self.end is None:
            self.flush()
            if self.reads or not self.open:
                self.read(self.heard)


def is_open(far):
    """Whether a connection has not been ended by the other side; what has come is dropped."""
    far.setblocking(False)
    try:
        while far.recv(4096):
            pass
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


@contextmanager
def listening(*args, **options):
    """Yield a rig, and end it."""
    rig = Rig(*args, **options)
    try:
        yield rig
    finally:
        rig.close()
