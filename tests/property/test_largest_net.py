"""What brokers tell in a net of as many as there may be fits what their peers read, whatever their limits are."""

import random
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from braidmq.bounds import SERVICES_MAX
from braidmq.carrier.options import frame_bytes_max
from braidmq.core.membership.peer_record import PeerRecord
from braidmq.core.membership.telling import Telling
from braidmq.members import NAME_BYTES_MAX, SERVICE_BYTES_MAX, Role
from braidmq.settings import KIB, Settings
from braidmq.trust.certificate import ENDPOINTS_MAX, SERIAL_MAX, Claims, issue
from braidmq.wire import control
from braidmq.wire.gossip import INCARNATION_MAX, RUMORS_MAX, About, Gossip, Rumor, ServiceAbout, State, Sync
from braidmq.wire.kinds import Control
from braidmq.wire.limits import BROKERS_MAX, CONTROL_BYTES_MAX

LEAST_FRAME_BYTES = frame_bytes_max(Settings(payload_bytes_max=KIB))
"""What the broker reads of another one that is set to the smallest payloads."""

STATES: tuple[State, ...] = ("alive", "leaving", "dead")


def name_of(number: int) -> str:
    return f"b{number:04}".ljust(NAME_BYTES_MAX, "x")


@cache
def certificate_of(number: int) -> bytes:
    """Return the largest certificate that a broker may have: two keys, and all endpoints at the longest names."""
    label = f"{number:04}".rjust(63, "h")
    host = f"{label}.{label}.{label}.{label[:61]}"
    claims = Claims(
        net="0" * 16,
        serial=SERIAL_MAX,
        name=name_of(number),
        role=Role.BROKER,
        keys=(number.to_bytes(32), (BROKERS_MAX + number).to_bytes(32)),
        endpoints=tuple(f"tcp://{host}:{65_535 - port}" for port in range(ENDPOINTS_MAX)),
    )
    return issue(claims, bytes(32)).blob


class Known:
    """The certificates of all."""

    def certificate(self, name: str) -> bytes:
        return certificate_of(int(name[1:5]))

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        raise AssertionError


def telling(states: list[State]) -> Telling:
    own = Rumor(name_of(0), INCARNATION_MAX, "leaving", "", certificate_of(0))
    members = {
        name_of(number): PeerRecord(name_of(number), INCARNATION_MAX, state, 0.0)
        for number, state in enumerate(states, 1)
    }
    return Telling(own, members, Known(), 3, random.Random(1))


def carried(message: Control, most: int) -> Control:
    """Return what its reader makes of a message, which is no longer than it may be."""
    encoded = control.encode_control(message, 0)
    assert len(encoded) <= min(most, CONTROL_BYTES_MAX)
    received = control.decode_control(encoded)
    assert received is not None
    return received


@given(st.lists(st.sampled_from(STATES), min_size=BROKERS_MAX - 1, max_size=BROKERS_MAX - 1), st.booleans())
@settings(max_examples=10)
def test_a_sync_of_the_largest_net_is_one_message_that_every_broker_reads(states: list[State], answer: bool) -> None:
    received = carried(telling(states).sync(answer=answer), LEAST_FRAME_BYTES)
    assert isinstance(received, Sync)
    assert len(received.members) == BROKERS_MAX
    assert received.members[0].certificate == certificate_of(0)


@given(st.integers(1, BROKERS_MAX - 1))
@settings(max_examples=10)
def test_the_news_of_the_largest_net_fits_with_all_certificates(seed: int) -> None:
    some = telling(["alive"] * (BROKERS_MAX - 1))
    members = list(some._members.values())
    random.Random(seed).shuffle(members)
    for member in members:
        some.spread(member)
    received = carried(Gossip(some.news()), LEAST_FRAME_BYTES)
    assert isinstance(received, Gossip)
    assert len(received.rumors) == RUMORS_MAX
    assert all(rumor.certificate for rumor in received.rumors)


def test_the_lists_of_the_largest_net_are_control_messages() -> None:
    peers = control.Peers([control.Peer(certificate_of(number), True, "leaving") for number in range(BROKERS_MAX)])
    assert carried(peers, CONTROL_BYTES_MAX) == peers
    names = [f"s{number:06}".ljust(SERVICE_BYTES_MAX, "y") for number in range(SERVICES_MAX)]
    services = control.Services(names)
    assert carried(services, CONTROL_BYTES_MAX) == services
    workers, credit = 2**16 - 1, 100_000
    about = About(name_of(0), 1, services=[ServiceAbout(name, workers, credit) for name in names])
    assert carried(about, CONTROL_BYTES_MAX) == about
