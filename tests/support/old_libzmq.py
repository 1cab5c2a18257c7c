"""libzmq 4.2.5, which speaks ZMTP 3.0, as a foreign peer: by ctypes, out of an old wheel of pyzmq.

The wheel is for another Python; only its library is loaded, beside that of today's pyzmq. `make old-libzmq` gets it.
"""

import ctypes
import errno
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from nacl.public import PrivateKey

from braidmq.lab.processes.waiting import wait_until
from braidmq.trust.joinfile import load
from tests.support.peers import Peer, new_route

WHEELS = Path(__file__).parents[2] / "build" / "old-libzmq"
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
_LIBRARIES = "zmq/.libs/lib"


class Old:
    """The library, and its context."""

    def __init__(self, directory):
        held = sorted(directory.rglob("*.so*"), key=lambda path: "zmq" in path.name)
        self._libraries = [ctypes.CDLL(str(path)) for path in held]  # first libsodium, which libzmq then finds loaded
        self.lib = self._libraries[-1]
        self.lib.zmq_ctx_new.restype = self.lib.zmq_socket.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.zmq_ctx_new())
        self.sockets = []

    @property
    def version(self):
        parts = [ctypes.c_int() for _ in range(3)]
        self.lib.zmq_version(*map(ctypes.byref, parts))
        return tuple(part.value for part in parts)

    def socket(self, kind):
        self.sockets.append(Socket(self, kind))
        return self.sockets[-1]

    def close(self):
        for each in self.sockets:
            each.close()
        self.lib.zmq_ctx_term(self.context)


class Socket:
    """As much of a socket as these tests need, with the names of pyzmq."""

    def __init__(self, old, kind):
        self._old, self._lib = old, old.lib
        self._handle = ctypes.c_void_p(self._checked(self._lib.zmq_socket(old.context, kind)))
        self.closed = False
        self._room = ctypes.create_string_buffer(MESSAGE_BYTES_MAX)
        self.setsockopt(zmq.LINGER, 0)
        self.setsockopt(zmq.RECONNECT_IVL, -1)

    def close(self, linger=None):
        if not self.closed:
            self._lib.zmq_close(self._handle)
            self.closed = True

    def setsockopt(self, option, value):
        data = value if isinstance(value, bytes) else bytes(ctypes.c_int(value))
        self._checked(self._lib.zmq_setsockopt(self._handle, option, data, ctypes.c_size_t(len(data))) + 1)

    def connect(self, endpoint):
        self._checked(self._lib.zmq_connect(self._handle, endpoint.encode()) + 1)

    def bind(self, endpoint):
        """Listen, and return the endpoint with its port."""
        self._checked(self._lib.zmq_bind(self._handle, endpoint.encode()) + 1)
        size = ctypes.c_size_t(256)
        room = ctypes.create_string_buffer(size.value)
        self._checked(self._lib.zmq_getsockopt(self._handle, zmq.LAST_ENDPOINT, room, ctypes.byref(size)) + 1)
        return room.value.decode()

    def get_monitor_socket(self, events):
        """Return a socket that tells of the connection's events, of those that this library knows."""
        endpoint = f"inproc://monitor-{id(self)}"
        self._checked(self._lib.zmq_socket_monitor(self._handle, endpoint.encode(), events) + 1)
        monitor = self._old.socket(zmq.PAIR)
        monitor.connect(endpoint)
        return monitor

    def disable_monitor(self):
        self._checked(self._lib.zmq_socket_monitor(self._handle, None, 0) + 1)

    def send_multipart(self, frames, flags=0):
        for number, frame in enumerate(frames, 1):
            more = zmq.SNDMORE if number < len(frames) else 0
            self._checked(self._lib.zmq_send(self._handle, frame, ctypes.c_size_t(len(frame)), zmq.DONTWAIT | more) + 1)

    def recv_multipart(self, flags=0):
        """Return a message that has come. Raises zmq.Again."""
        frames = [self._recv()]
        while self._has_more():
            frames.append(self._recv())
        return frames

    def _recv(self):
        room = ctypes.c_size_t(MESSAGE_BYTES_MAX)
        size = self._checked(self._lib.zmq_recv(self._handle, self._room, room, zmq.DONTWAIT) + 1) - 1
        assert size <= MESSAGE_BYTES_MAX
        return self._room.raw[:size]

    def _has_more(self):
        more, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
        self._checked(self._lib.zmq_getsockopt(self._handle, zmq.RCVMORE, ctypes.byref(more), ctypes.byref(size)) + 1)
        return bool(more.value)

    def _checked(self, result):
        if not result:
            number = self._lib.zmq_errno()
            raise zmq.Again if number == errno.EAGAIN else zmq.ZMQError(number)
        return result

    def next(self):
        """Return the next message, and wait for it."""

        def came():
            try:
                return self.recv_multipart()
            except zmq.Again:
                return None

        return wait_until(came, "a message comes")


class OldPeer(Peer):
    """A raw DEALER of the old library with a member's keys, or anybody's."""

    def __init__(self, old, broker, *, join=None, secret=None):
        secret = PrivateKey(load(join).secret_key if secret is None else secret)
        self.socket = old.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, new_route())
        self.socket.setsockopt(zmq.CURVE_SECRETKEY, bytes(secret))
        self.socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes(secret.public_key))
        self.socket.setsockopt(zmq.CURVE_SERVERKEY, load(broker.join).public_key)
        self._connect(broker)


def unpacked(directory):
    """Unpack the library of the wheel into a directory, or skip the test and say what would get it."""
    wheels = list(WHEELS.glob("pyzmq-*.whl"))
    if not wheels:
        pytest.skip("there is no old libzmq: `make old-libzmq` downloads it")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(directory, [name for name in wheel.namelist() if name.startswith(_LIBRARIES)])


@contextmanager
def old_libzmq(directory):
    """Yield the old library."""
    unpacked(directory)
    try:
        old = Old(directory)
    except OSError as error:
        pytest.skip(f"the old libzmq does not run on this machine: {error}")
    try:
        yield old
    finally:
        old.close()
