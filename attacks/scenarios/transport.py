"""Connections that are not what the transport expects: resets, endless messages, handshakes that never end."""

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic, sleep
from typing import Final

import zmq
from nacl.public import PrivateKey

from attacks.arms import HELLO, RENEW_S, Arms, said
from attacks.curve import COMMAND, GREETING, INNER_MORE, CurveClient, address_of, framed
from attacks.frames import full
from attacks.scenario import SHAPE, Scenario
from braidmq.wire import control

HELD: Final = 1_500
"""Connections that are held in their handshakes."""

COMMAND_BYTES: Final = 1_179_000
"""What each announces: nearly as much as a broker takes for a message."""

FLOODED_S: Final = 0.5
"""How long a connection is flooded before it is reset."""

PARTS: Final = 1_000_000
"""Empty frames of one message."""

CHUNK_BYTES: Final = 65_536


def abort(arms: Arms) -> None:
    """Fill connections up to the high-water mark and reset them, again and again."""
    bundle = full(said(control.Heartbeat()))
    peers = arms.peers()
    while arms.goes_on():
        until = monotonic() + FLOODED_S
        while monotonic() < until:
            for peer in peers:
                peer.renew()
                while peer.send(bundle):
                    arms.sent["frames"] += 1
            sleep(0.001)
        for peer in peers:
            peer.reset()
            arms.sent["resets"] += 1


def many_parts(arms: Arms) -> None:
    """Send messages of a million empty frames."""
    [*peers] = arms.peers()
    while arms.goes_on():
        for peer in peers:
            peer.hear()
            if not peer.renew():
                continue
            for number in range(PARTS):
                if not number % 1_000 and not arms.goes_on():
                    return
                peer.send_part(b"")
            peer.send(b"")
            arms.sent["messages"] += 1


def endless(arms: Arms) -> None:
    """Send frames of messages that never end."""
    part = b"" if arms.plan.variant == "empty" else bytes(1_000)
    _pour(arms, lambda client: b"".join(client.message(part, INNER_MORE) for _ in range(500)))


def ping(arms: Arms) -> None:
    """Send PING of the transport as fast as it goes, each with an answer that is not read."""
    _pour(arms, lambda client: b"".join(client.ping() for _ in range(500)))


def _pour(arms: Arms, next_bytes: Callable[[CurveClient], bytes]) -> None:
    """Send bytes over all connections, what is left of the last ones first; make those anew that are ended."""
    clients: dict[int, CurveClient] = {}
    unsent: dict[int, bytes] = {}
    while arms.goes_on():
        for number in range(arms.plan.connections):
            try:
                if number not in clients:
                    client = clients[number] = CurveClient(arms.identity, arms.targets[number % len(arms.targets)])
                    unsent[number] = client.message(HELLO)
                    client.socket.setblocking(False)
                data = unsent[number] or next_bytes(clients[number])
                unsent[number] = data
                sent = clients[number].socket.send(data)
                unsent[number] = data[sent:]
                arms.sent["kib"] += sent // 1024
            except BlockingIOError:
                sleep(0.001)
            except OSError:
                arms.sent["cut"] += 1
                if ended := clients.pop(number, None):
                    ended.socket.close()
                sleep(RENEW_S)


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


def reconnect(arms: Arms) -> None:
    """Open sessions, offer something so that they are told of, and close them."""
    while arms.goes_on():
        peers = arms.peers()
        until = monotonic() + 0.1
        for peer in peers:
            peer.say(control.Ready("own", 1))
        while monotonic() < until and not all(peer.open or not peer.live for peer in peers):
            for peer in peers:
                peer.hear()
            sleep(0.002)
        for peer in peers:
            peer.close()
            arms.sent["connections"] += 1


_TWO: Final = replace(SHAPE, brokers=2)

SCENARIOS = (
    Scenario(
        "abort-8", "8 connections are filled to the high-water mark and reset, again and again", abort, connections=8
    ),
    Scenario(
        "abort-16-two",
        "16 connections to each of two brokers are filled to the high-water mark and reset, again and again",
        abort,
        connections=16,
        shape=_TWO,
    ),
    Scenario("abort-1", "1 connection is filled to the high-water mark and reset, again and again", abort),
    Scenario(
        "handshakes-commands",
        f"no key: {HELD:,} connections announce a command of {COMMAND_BYTES:,} bytes each and hold back its last one",
        hold_commands,
    ),
    Scenario("handshakes-greeted", f"no key: {HELD:,} connections greet and say no more", hold_greetings),
    Scenario("handshakes-silent", f"no key: {HELD:,} connections send one byte", trickle),
    Scenario("handshakes-garbage", "no key: connections bring garbage, as many as it can make", garbage),
    Scenario("handshakes-strangers", "unknown keys, a wrong key of the broker, NULL and PLAIN", strangers),
    Scenario("multipart-million", f"messages of {PARTS:,} empty frames", many_parts),
    *(
        Scenario(
            f"multipart-endless-{variant}",
            f"messages whose {variant} frames never end, on 4 connections",
            endless,
            variant,
            connections=4,
        )
        for variant in ("empty", "large")
    ),
    Scenario("pings", "PING of the transport on 8 connections, whose answers are never read", ping, connections=8),
    Scenario(
        "logs-reconnects", "16 sessions come and go as fast as they can", reconnect, connections=16, serves=("own",)
    ),
    Scenario(
        "logs-unread",
        "the same, while nobody reads the broker's log",
        reconnect,
        connections=16,
        serves=("own",),
        unread=True,
    ),
)
