"""Strangers: handshakes that never end, that mean nothing, or that are made with keys which nobody has registered."""

import selectors
import socket
from contextlib import suppress
from time import sleep
from typing import Final

import zmq
from nacl.public import PrivateKey

from attacks.arms import Arms, said
from attacks.curve import COMMAND, GREETING, address_of, framed
from attacks.scenario import Scenario
from braidmq.wire import control

HELD: Final = 1_500
"""Connections that are held in their handshakes."""

COMMAND_BYTES: Final = 1_179_000
"""What each announces: nearly as much as a broker takes for a message."""

CHUNK_BYTES: Final = 65_536


def hold_commands(arms: Arms) -> None:
    """Announce a large command in the handshake of each connection, send all but its last byte, and wait."""
    command = framed((b"\x05HELLO").ljust(COMMAND_BYTES, b"\0"), COMMAND)
    _hold(arms, GREETING + command[:-1])


def hold_greetings(arms: Arms) -> None:
    """Greet, say no more, and wait."""
    _hold(arms, GREETING)


def trickle(arms: Arms) -> None:
    """Say nothing at all, and wait."""
    _hold(arms, GREETING[:1])


def _hold(arms: Arms, start: bytes) -> None:
    """Hold so many connections, each of which has sent these bytes; make those anew that are ended."""
    selector = selectors.DefaultSelector()
    addresses = [address_of(each) for each in arms.targets]
    held: dict[socket.socket, int] = {}
    number = 0
    while arms.goes_on():
        while len(held) < HELD:
            connection = socket.socket()
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect(addresses[number % len(addresses)])
            number += 1
            held[connection] = 0
            selector.register(connection, selectors.EVENT_WRITE | selectors.EVENT_READ)
            arms.sent["connections"] += 1
        for key, events in selector.select(0.05):
            holder = key.fileobj
            assert isinstance(holder, socket.socket)
            try:
                if events & selectors.EVENT_READ and not holder.recv(4096):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    held[holder] += holder.send(start[held[holder] : held[holder] + CHUNK_BYTES])
                    if held[holder] == len(start):
                        selector.modify(holder, selectors.EVENT_READ)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(holder)
                holder.close()
                del held[holder]
                sleep(0.0005)


def garbage(arms: Arms) -> None:
    """Connect again and again, and send bytes that mean nothing."""
    addresses = [address_of(each) for each in arms.targets]
    while arms.goes_on():
        with suppress(OSError), socket.create_connection(arms.rng.choice(addresses), 1.0) as connection:
            head = arms.rng.choice((b"", GREETING[:12], GREETING, b"GET / HTTP/1.1\r\n\r\n"))
            connection.sendall(head + arms.rng.randbytes(arms.rng.choice((1, 64, 1_000, 60_000))))
            arms.sent["connections"] += 1


def strangers(arms: Arms) -> None:
    """Connect with keys that nobody has registered, with a wrong key of the broker, and without any."""
    while arms.goes_on():
        dealers = []
        for number in range(30):
            dealer = arms.context.socket(zmq.DEALER)
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.setsockopt(zmq.RECONNECT_IVL, -1)
            target = arms.targets[number % len(arms.targets)]
            if number % 5 < 3:
                secret = PrivateKey.generate()
                dealer.setsockopt(zmq.CURVE_SECRETKEY, bytes(secret))
                dealer.setsockopt(zmq.CURVE_PUBLICKEY, bytes(secret.public_key))
                server = target.key if number % 5 else bytes(PrivateKey.generate().public_key)
                dealer.setsockopt(zmq.CURVE_SERVERKEY, server)
            elif number % 5 == 3:
                dealer.setsockopt(zmq.PLAIN_USERNAME, b"admin")
                dealer.setsockopt(zmq.PLAIN_PASSWORD, b"admin")
            dealer.connect(target.endpoint)
            dealer.send(said(control.Hello("stranger")), zmq.NOBLOCK)
            dealers.append(dealer)
        sleep(0.05)
        arms.sent["connections"] += len(dealers)
        for dealer in dealers:
            dealer.close(0)


SCENARIOS = (
    Scenario(
        "handshakes-commands",
        f"no key: {HELD:,} connections announce a command of {COMMAND_BYTES:,} bytes each and hold back its last one",
        hold_commands,
    ),
    Scenario("handshakes-greeted", f"no key: {HELD:,} connections greet and say no more", hold_greetings),
    Scenario("handshakes-silent", f"no key: {HELD:,} connections send one byte", trickle),
    Scenario("handshakes-garbage", "no key: connections bring garbage, as many as it can make", garbage),
    Scenario("handshakes-strangers", "unknown keys, a wrong key of the broker, NULL and PLAIN", strangers),
)
