"""The registry in motion: holders of tokens, members without a say in it, a stolen file of an operator, brokers."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from time import sleep, time
from typing import Final

from nacl.public import PrivateKey

from attacks.arms import IDLE_S, Arms, Peer, said
from attacks.frames import cycled, full
from attacks.scenario import BESIDE_A_HOSTILE_BROKER, HARMLESS, SHAPE, Scenario
from braidmq.trust import enrolment
from braidmq.trust.codes import Token
from braidmq.trust.enrolment import Statement
from braidmq.wire import control
from braidmq.wire.bundle import join
from braidmq.wire.envelope import command_of
from braidmq.wire.registry import (
    ENROLMENTS_TOLD_MAX,
    PART_BYTES,
    PARTS_AHEAD,
    REGISTRY_BYTES_MAX,
    Enrol,
    Enrolled,
    EnrolmentRow,
    Published,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
)

VERSION: Final = 2**62
"""The registry that liars say they have."""

ENROLMENTS: Final = 200
"""Different ones that the holder of a token has made in advance, so that it is not busy with signing."""


@dataclass(frozen=True)
class _Holder:
    """The keys of a token (see Identity)."""

    public_key: bytes
    secret_key: bytes


def _enrolments(token: Token, name: str) -> Iterator[bytes]:
    """Yield enrolments, each for another key; where `name` is empty each has a name that the token is for."""
    for _ in range(ENROLMENTS):
        key = bytes(PrivateKey.generate().public_key)
        statement = Statement(
            net=token.netcode.net,
            invitation=token.serial,
            name=name or token.name_for(key),
            key=key,
            made_at=int(time()),
        )
        yield enrolment.issue(statement, token.keys.signing_seed)


def enrol(arms: Arms) -> None:
    """With a token that is used up soon, or for names that it is not for: ask for admission without end."""
    token = Token.decode(arms.plan.token)
    arms.identity = _Holder(token.keys.curve_key, token.keys.curve_secret_key)
    blobs = list(_enrolments(token, arms.plan.variant))
    arms.flood(cycled([bundle for bundle, _ in join([said(Enrol(each)) for each in blobs])]))


def _wanted() -> list[bytes]:
    """Return bundles of questions for all of the registry, and for differences, each from another version."""
    each = [said(RegistryWanted(since, 0, PARTS_AHEAD)) for since in range(2_000)]
    return [bundle for bundle, _ in join(each)]


def _rows(arms: Arms) -> list[bytes]:
    """Return enrolments that nobody has signed."""
    rows = [EnrolmentRow(arms.rng.randbytes(300), int(time())) for _ in range(ENROLMENTS_TOLD_MAX)]
    return [said(Enrolled(rows))]


FRAMES: Final[dict[str, tuple[str, Callable[[Arms], list[bytes]]]]] = {
    "hello": ("HELLO again and again", lambda _arms: [full(said(control.Hello("mallory")))]),
    "words": (
        "what only brokers may say of the registry",
        lambda _arms: [
            full(said(word)) for word in (RegistryVersion(VERSION), RegistryWanted(0, 0, PARTS_AHEAD), Enrolled())
        ],
    ),
    "wanted": ("questions for all of the registry", lambda _arms: _wanted()),
    "enrolled": ("enrolments that nobody has signed", _rows),
}
"""What is sent, by the variant: in words, and what makes it."""


def flood(arms: Arms) -> None:
    """Send nothing but such frames."""
    arms.flood(cycled(FRAMES[arms.plan.variant][1](arms)))


def ask(arms: Arms) -> None:
    """Come for one's certificate and the list of brokers without end, each time anew."""
    hello = said(control.Hello("mallory", asks=True))
    for target in cycle(arms.targets):
        if not arms.goes_on():
            return
        peers = [arms.peer(target) for _ in range(arms.plan.connections)]
        for peer in peers:
            arms.sent["connections"] += 1
            for _ in range(100):
                peer.send(hello)
        sleep(0.02)
        for peer in peers:
            peer.hear()
            peer.close()


def hand_in(arms: Arms) -> None:
    """Say that one has a newer registry, and hand in as much garbage as there may be, or never the end of it."""
    garbage = arms.rng.randbytes(PART_BYTES)
    peers = arms.peers()
    due: dict[Peer, deque[int]] = {peer: deque() for peer in peers}
    told: set[Peer] = set()
    while arms.goes_on():
        busy = False
        for peer in peers:
            if not peer.renew():
                continue
            if peer not in told and peer.say(RegistryVersion(VERSION)):
                told.add(peer)
            for message in peer.hear():
                if command_of(message) == RegistryWanted.NUMBER:
                    offset = control_of(message).offset
                    due[peer].extend(range(offset, offset + PARTS_AHEAD * PART_BYTES, PART_BYTES))
                elif command_of(message) == Published.NUMBER:
                    arms.sent["refused"] += 1
                    peer.close()
            if not peer.live:
                told.discard(peer)
                due[peer].clear()
            ends = arms.plan.variant == "garbage"
            while due[peer] and (ends or arms.rng.random() < DRIP):
                part = RegistryPart(VERSION, 0, REGISTRY_BYTES_MAX, due[peer][0], garbage)
                if not peer.say(part):
                    break
                due[peer].popleft()
                arms.sent["parts"] += 1
                busy = True
        if not busy:
            sleep(IDLE_S)


DRIP: Final = 0.001
"""How likely it is in each moment that a part leaves of a registry that never ends."""


def control_of(message: bytes) -> RegistryWanted:
    """Return a question."""
    found = control.decode_control(message)
    assert isinstance(found, RegistryWanted)
    return found


_member = partial(Scenario, connections=16)
_broker = partial(Scenario, key="rogue", connections=4)

SCENARIOS = (
    _member("registry-enrol", "the holder of a token enrols without end, 16 connections", enrol, invites=True),
    _member(
        "registry-enrol-wrong",
        "the holder of a token enrols without end, for a name that it is not for, 16 connections",
        enrol,
        "broker1",
        invites=True,
    ),
    _member("registry-hello", f"{FRAMES['hello'][0]}, 16 connections", flood, "hello"),
    _member("registry-words", f"{FRAMES['words'][0]}, 16 connections", flood, "words"),
    _member("registry-ask", "a member comes for its certificate without end, 16 connections at a time", ask),
    _member(
        "registry-garbage",
        "a stolen right to publish: registries of 32 MiB of garbage, 16 connections",
        hand_in,
        "garbage",
        publish=True,
    ),
    _member(
        "registry-drip",
        "a stolen right to publish: a registry that never ends, 16 connections",
        hand_in,
        "drip",
        publish=True,
    ),
    _broker("registry-wanted", f"a hostile broker: {FRAMES['wanted'][0]}, 4 connections", flood, "wanted"),
    _broker("registry-enrolled", f"a hostile broker: {FRAMES['enrolled'][0]}, 4 connections", flood, "enrolled"),
    Scenario(
        "registry-papers",
        "a hostile broker of three: lists of brokers and certificates that are none, to every node",
        lie="papers",
        shape=replace(SHAPE, brokers=3),
        most={**BESIDE_A_HOSTILE_BROKER, "p99_ms": HARMLESS["p99_ms"]},
    ),
)
