"""Who may stand at a broker's door, with real connections."""

import os
import socket
from contextlib import ExitStack, suppress
from time import monotonic

import pytest
from braidmq.carrier.unread import COUNTED, FIRST_WORD_BYTES_MAX

from braidmq.carrier.doorstep import ADDRESS_CONNECTIONS_MAX, LISTENERS_GRACE_S, STALE_S, Doorstep, _origin_of

HANDSHAKE_S = 4.0


class Door:
    """A listening socket, its doorstep, and both ends of each connection."""

    def __init__(self, stack):
        self._stack = stack
        self.server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        self.port = self.server.getsockname()[1]
        self.doorstep = Doorstep(HANDSHAKE_S)
        self.doorstep.listen(self.port)
        self._near = []

    def arrive(self, now, host="127.0.0.1"):
        """Return the far end and the descriptor of the near end of a new connection."""
        far = self._stack.enter_context(socket.create_connection(("127.0.0.1", self.port), source_address=(host, 0)))
        near, _ = self.server.accept()
        self._near.append(self._stack.enter_context(near))
        self.doorstep.on_accepted(near.fileno(), now)
        return far, near.fileno()

    def drain(self):
        """Read what has come, as libzmq does."""
        for near in self._near:
            near.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                near.recv(1 << 20)


def is_open(far):
    """Whether a connection has not been ended by the other side."""
    far.setblocking(False)
    try:
        return bool(far.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


@pytest.fixture
def door():
    with ExitStack() as stack:
        yield Door(stack)


def test_so_many_of_one_address_wait_at_the_door_and_further_ones_are_ended(door):
    ends = [door.arrive(1.0)[0] for _ in range(ADDRESS_CONNECTIONS_MAX + 3)]
    assert [is_open(end) for end in ends] == [True] * ADDRESS_CONNECTIONS_MAX + [False] * 3


def test_other_addresses_are_not_kept_out(door):
    for _ in range(ADDRESS_CONNECTIONS_MAX + 1):
        door.arrive(1.0)
    assert is_open(door.arrive(1.0, host="127.0.0.2")[0])


def test_whoever_has_said_something_or_has_gone_gives_the_place_to_another(door):
    descriptors = [door.arrive(1.0)[1] for _ in range(ADDRESS_CONNECTIONS_MAX)]
    assert not is_open(door.arrive(1.0)[0])
    door.doorstep.on_word(descriptors[0])
    door.doorstep.on_closed(descriptors[1])
    assert [is_open(door.arrive(1.0)[0]) for _ in range(3)] == [True, True, False]


def test_one_that_has_waited_for_long_gives_way(door):
    ends = [door.arrive(1.0)[0] for _ in range(ADDRESS_CONNECTIONS_MAX)]
    late = door.arrive(1.0 + STALE_S + 0.1)[0]
    assert is_open(late)
    assert [is_open(end) for end in ends] == [False] + [True] * (ADDRESS_CONNECTIONS_MAX - 1)


def test_whoever_says_nothing_for_the_time_of_a_handshake_and_some_more_is_ended(door):
    silent, _ = door.arrive(1.0)
    speaking, descriptor = door.arrive(1.0)
    door.doorstep.on_word(descriptor)
    door.doorstep.on_timer((), 1.0 + HANDSHAKE_S)
    assert is_open(silent)
    door.doorstep.on_timer((), 1.0 + HANDSHAKE_S + LISTENERS_GRACE_S + 0.01)
    assert not is_open(silent)
    assert is_open(speaking)
    assert door.doorstep.next_deadline() is None


@pytest.mark.skipif(not COUNTED, reason="nothing tells what has come")
def test_whoever_sends_much_before_its_first_word_is_ended(door):
    greedy, _ = door.arrive(1.0)
    modest, _ = door.arrive(1.0)
    modest.sendall(bytes(1_000))
    door.doorstep.on_timer((), 1.1)
    assert is_open(modest)
    give_up_at = monotonic() + 10.0
    sent = 0
    greedy.setblocking(False)
    while is_open(greedy):
        with suppress(BlockingIOError, ConnectionError):
            sent += greedy.send(bytes(64 * 1024))
        door.drain()
        door.doorstep.on_timer((), 1.2)
        assert monotonic() < give_up_at
    assert sent > FIRST_WORD_BYTES_MAX
    assert is_open(modest)


def test_whoever_was_heard_before_it_was_known_to_be_accepted_is_let_be(door):
    far, descriptor = door.arrive(1.0)
    door.doorstep.on_timer([descriptor], 100.0)
    assert is_open(far)
    assert door.doorstep.next_deadline() is None


def test_a_connection_is_cut(door):
    far, descriptor = door.arrive(1.0)
    door.doorstep.on_word(descriptor)
    door.doorstep.cut(descriptor)
    assert not is_open(far)


def test_a_descriptor_that_is_anothers_by_now_is_let_be(door):
    far, descriptor = door.arrive(1.0)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        other = socket.create_connection(elsewhere.getsockname())
        accepted, _ = elsewhere.accept()
        near = socket.socket(fileno=descriptor)
        number = near.detach()
        os.dup2(accepted.fileno(), number)
        door.doorstep.cut(descriptor)
        door.doorstep.on_timer((), 100.0)
        assert is_open(other)
        accepted.close()
        other.close()
    assert far.fileno() >= 0


def test_what_is_no_connection_to_this_broker_is_not_counted(door):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        door.doorstep.on_accepted(elsewhere.fileno(), 1.0)
    assert door.doorstep.next_deadline() is None


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_addresses_that_one_owner_can_choose_from_count_as_one(address, origin):
    assert _origin_of(address) == origin
