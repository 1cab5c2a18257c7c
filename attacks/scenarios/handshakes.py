"""Strangers: handshakes that never end, that mean nothing, or that are made with keys which nobody has registered."""

import selectors
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from time import sleep
from typing import Final

import zmq
from nacl.public import PrivateKey

from attacks.arms import Arms, said
from attacks.curve import COMMAND, GREETING, CurveClient, address_of, framed
from attacks.scenario import SHAPE, Scenario
from braidmq.wire import control

HELD: Final = 1_500
"""Connections that are held in their handshakes."""

COMMAND_BYTES: Final = 1_179_000
"""What each announces: nearly as much as a broker takes for a message."""

CHUNK_BYTES: Final = 65_536

LEFT_OPEN: Final = 500
"""Connections of a crowd's process that say nothing more, and are left open."""

CROWD_S: Final = 300.0
"""In which some processes make 100,000 connections and more."""

HTTP: Final = b"GET /metrics HTTP/1.1\r\nHost: broker\r\n\r\n"


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
            with suppress(zmq.Again):  # it may be refused before it speaks
                dealer.send(said(control.Hello("stranger")), zmq.NOBLOCK)
            dealers.append(dealer)
        sleep(0.05)
        arms.sent["connections"] += len(dealers)
        for dealer in dealers:
            dealer.close(0)


@dataclass(frozen=True)
class _Unknown:
    """A key that nobody has registered (see Identity)."""

    public_key: bytes
    secret_key: bytes


def crowd(arms: Arms) -> None:
    """Come from many addresses, in every way in which a stranger can, as often as that goes."""
    rng, left_open = arms.rng, deque[socket.socket]()
    keys = [PrivateKey.generate() for _ in range(16)]
    unknown = [_Unknown(bytes(each.public_key), bytes(each)) for each in keys]
    while arms.goes_on():
        target, kind = rng.choice(arms.targets), rng.choice(("unknown key", "half open", "garbage", "http"))
        arms.sent[kind] += 1
        arms.sent["connections"] += 1
        with suppress(OSError):
            if kind == "unknown key":
                CurveClient(rng.choice(unknown), target).reset()
                continue
            connection = socket.create_connection(address_of(target), 1.0, (_some_address(arms), 0))
            if kind == "half open":
                connection.sendall(GREETING[: rng.randrange(len(GREETING) + 1)])
                left_open.append(connection)
                if len(left_open) > LEFT_OPEN:
                    left_open.popleft().close()
                continue
            with connection:
                connection.sendall(HTTP if kind == "http" else rng.choice((b"", GREETING)) + rng.randbytes(1_000))


def _some_address(arms: Arms) -> str:
    """Return an address of this machine to come from: all of 127.0.0.0/8 are."""
    return f"127.{arms.rng.randrange(1, 255)}.{arms.rng.randrange(256)}.{arms.rng.randrange(1, 255)}"


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
    Scenario(
        "handshakes-crowd",
        "no key: a crowd from many addresses at three brokers: unknown keys, half-open connections, HTTP, garbage",
        crowd,
        processes=4,
        shape=replace(SHAPE, brokers=3),
        runs=1,
        length_s=CROWD_S,
    ),
)
