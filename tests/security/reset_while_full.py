"""A peer that fills the pipe of a ROUTER, with a PING behind each frame, and resets its connection: a program.

It prints how many frames were read afterwards. libzmq ends the process if it answers a PING on the dead connection.
"""

import os
import socket
import struct
import sys
from contextlib import suppress
from time import monotonic, sleep

import zmq
from braidmq.carrier.router import Router
from braidmq.carrier.sockets import new_context, new_route
from braidmq.carrier.zap import ZapHandler
from nacl import bindings as nacl

from braidmq.settings import Settings

FRAMES = 2_000
PING = b"\4PING\0\0"
GREETING = b"\xff" + bytes(8) + b"\x7f\3\1" + b"CURVE".ljust(20, b"\0") + bytes(32)


class Everyone:
    """A directory that lets every key in."""

    def member(self, principal):
        return principal


def box(plain, nonce, key):
    return nacl.crypto_box_afternm(plain, nonce, key)


class Peer:
    """A client of CURVE (RFC 26) by hand. `wait` is called while it waits for the other side."""

    def __init__(self, port, server_key, wait):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._wait = wait
        self._number = 2
        public, secret = nacl.crypto_box_keypair()
        brief, brief_secret = nacl.crypto_box_keypair()
        key = nacl.crypto_box_beforenm(server_key, brief_secret)
        hello = b"\5HELLO\1\0" + bytes(72) + brief + (1).to_bytes(8)
        hello += box(bytes(64), b"CurveZMQHELLO---" + (1).to_bytes(8), key)
        self.socket.sendall(GREETING + b"\4\xc8" + hello)
        welcome = self._read(64 + 2 + 168)[66:]
        plain = nacl.crypto_box_open_afternm(welcome[24:], b"WELCOME-" + welcome[8:24], key)
        self._key = nacl.crypto_box_beforenm(plain[:32], brief_secret)
        nonce = os.urandom(16)
        vouch = box(brief + server_key, b"VOUCH---" + nonce, nacl.crypto_box_beforenm(plain[:32], secret))
        metadata = b"\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\x10" + new_route()
        initiate = b"\x08INITIATE" + plain[32:] + (2).to_bytes(8)
        initiate += box(public + nonce + vouch + metadata, b"CurveZMQINITIATE" + (2).to_bytes(8), self._key)
        self.socket.sendall(b"\6" + len(initiate).to_bytes(8) + initiate)
        self._read(8)

    def frame(self, body, flags=0):
        self._number += 1
        number = self._number.to_bytes(8)
        message = b"\7MESSAGE" + number + box(bytes((flags,)) + body, b"CurveZMQMESSAGEC" + number, self._key)
        return bytes((0, len(message))) + message

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self, size):
        self.socket.settimeout(0.01)
        found, give_up_at = b"", monotonic() + 10.0
        while len(found) < size:
            assert monotonic() < give_up_at, "the handshake does not go on"
            self._wait()
            try:
                found += self.socket.recv(size - len(found))
            except TimeoutError:
                continue
        return found


def main():
    context = new_context()
    zap = ZapHandler(context, Everyone())
    public, secret = nacl.crypto_box_keypair()
    router = Router(context, Settings(), secret)
    port = int(router.bind("tcp://127.0.0.1:*").rpartition(":")[2])
    peer = Peer(port, public, zap.answer)
    peer.socket.settimeout(1.0)
    with suppress(TimeoutError):  # libzmq does not read on
        peer.socket.sendall(b"".join(peer.frame(b"") + peer.frame(PING, 2) for _ in range(FRAMES)))
    peer.reset()
    give_up_at = monotonic() + 1.0
    while monotonic() < give_up_at and int(zmq.EVENT_DISCONNECTED) not in [each[0] for each in router.monitor.read()]:
        sleep(0.01)
    count, give_up_at = 0, monotonic() + 1.0
    while monotonic() < give_up_at and count < FRAMES:
        count += len(router.receive(monotonic(), until_empty=True))
    sys.stdout.write(f"read {count}\n")


if __name__ == "__main__":
    main()
