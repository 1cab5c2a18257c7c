"""Peers that write to a broker's socket themselves, to break the rules."""

import asyncio
import os
from collections import deque
from contextlib import contextmanager, suppress
from time import monotonic

import zmq
from nacl.public import PrivateKey

from braidmq.trust.joinfile import load
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.envelope import CONTROL_FIRST, UINT32, Envelope, decode, encode

HANDSHAKE = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
HANDSHAKE |= zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
FAILED = HANDSHAKE & ~zmq.EVENT_HANDSHAKE_SUCCEEDED
ENDED = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class Peer:
    """A raw DEALER with some member's keys, or anybody's."""

    def __init__(self, context, broker, *, join=None, secret=None, route=None, server_key=None, mechanism="CURVE"):
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        if route != b"":
            self.socket.setsockopt(zmq.ROUTING_ID, new_route() if route is None else route)
        if mechanism == "CURVE":
            secret = PrivateKey(secret) if secret is not None else PrivateKey(load(join).secret_key)
            self.socket.setsockopt(zmq.CURVE_SECRETKEY, bytes(secret))
            self.socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes(secret.public_key))
            self.socket.setsockopt(zmq.CURVE_SERVERKEY, server_key or load(broker.join).public_key)
        elif mechanism == "PLAIN":
            self.socket.setsockopt(zmq.PLAIN_USERNAME, b"admin")
            self.socket.setsockopt(zmq.PLAIN_PASSWORD, b"admin")
        self._connect(broker)

    def _connect(self, broker):
        self.monitor = self.socket.get_monitor_socket(HANDSHAKE | ENDED)
        self._events, self._ended = deque(), False
        self.socket.connect(broker.endpoint)

    def close(self):
        if not self.socket.closed:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.socket.close(0)

    # -- out

    def send(self, *frames):
        """Send a message; to a connection that the broker has ended it is lost, as on any socket."""
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self._look()
            if not self._ended:
                raise

    def say(self, message):
        self.send(control.encode_control(message, now_ms()))

    def exchange(self, command, id_, **fields):
        self.send(encode(Envelope(command, id_, sent_ms=now_ms(), **fields)))

    # -- in

    async def event(self, timeout=10.0):
        """Return the next thing that happens to the connection."""
        give_up_at = monotonic() + timeout
        while not self._events:
            self._look()
            if monotonic() > give_up_at:
                raise TimeoutError
            await asyncio.sleep(0.002)
        return self._events.popleft()

    def _look(self):
        with suppress(zmq.Again):
            while True:
                data, _address = self.monitor.recv_multipart(zmq.NOBLOCK)
                event = int.from_bytes(data[:2], "little")
                self._ended |= bool(event & (FAILED | ENDED))
                self._events.append(event)

    async def heard(self, wanted, timeout=10.0):
        """Return the next message for which `wanted` holds: an Envelope, or a control message."""
        give_up_at = monotonic() + timeout
        while True:
            frame = await self._next(self.socket, give_up_at - monotonic())
            messages, intact = split(frame)
            assert intact
            for message in messages:
                kind = control.decode_control if message[5] >= CONTROL_FIRST else decode
                received = kind(message)
                if wanted(received):
                    return received

    async def control(self, kind, timeout=10.0):
        return await self.heard(lambda received: isinstance(received, kind), timeout)

    async def answer(self, command, id_, timeout=10.0):
        return await self.heard(
            lambda got: isinstance(got, Envelope) and (got.command, got.id) == (command, id_), timeout
        )

    async def hello(self):
        self.say(control.Hello("raw"))
        return await self.control(control.Welcome)

    async def _next(self, socket, timeout):
        give_up_at = monotonic() + timeout
        while True:
            try:
                return socket.recv_multipart(zmq.NOBLOCK)[0]
            except zmq.Again:
                if monotonic() > give_up_at:
                    raise TimeoutError from None
                await asyncio.sleep(0.002)


@contextmanager
def peers():
    """Yield what makes peers; ends them."""
    context, made = zmq.Context(), []

    def make(*args, **options):
        made.append(Peer(context, *args, **options))
        return made[-1]

    try:
        yield make
    finally:
        for peer in made:
            peer.close()
        context.term()


def now_ms():
    return int(monotonic() * 1000) & UINT32


def new_route():
    """Return a routing id as libzmq takes it: not its own kind, which begins with a zero."""
    return b"p" + os.urandom(15)
