"""Who may stand at a broker's door. With real connections: test_listener.py."""

import math

import pytest

from braidmq.carrier.doorstep import ADDRESS_CONNECTIONS_MAX, CONNECTIONS_MAX, STALE_S, Doorstep, origin_of

HANDSHAKE_S = 4.0


@pytest.fixture
def door():
    return Doorstep(HANDSHAKE_S)


def test_so_many_of_one_address_are_let_in_and_further_ones_have_to_go(door):
    came = [door.come(key, "a", 1.0) for key in range(ADDRESS_CONNECTIONS_MAX)]
    assert came == [None] * ADDRESS_CONNECTIONS_MAX
    assert door.come(1_000, "a", 1.0) == 1_000
    assert len(door) == ADDRESS_CONNECTIONS_MAX


def test_other_addresses_are_not_kept_out(door):
    for key in range(ADDRESS_CONNECTIONS_MAX + 10):
        door.come(key, "a", 1.0)
    assert door.come(1_000, "b", 1.0) is None


def test_whoever_leaves_gives_the_place_to_another(door):
    for key in range(ADDRESS_CONNECTIONS_MAX):
        door.come(key, "a", 1.0)
    door.leave(7)
    door.leave(7)
    assert door.come(1_000, "a", 1.0) is None
    assert door.come(1_001, "a", 1.0) == 1_001


def test_the_oldest_one_of_the_address_gives_way_once_it_has_waited_for_long(door):
    door.come(5_000, "b", 0.5)
    for key in range(ADDRESS_CONNECTIONS_MAX):
        door.come(key, "a", 1.0)
    assert door.come(1_000, "a", 1.0 + STALE_S) == 1_000
    assert door.come(1_000, "a", 1.0 + STALE_S + 0.01) == 0
    assert door.come(1_001, "a", 1.0 + STALE_S + 0.01) == 1
    assert len(door) == ADDRESS_CONNECTIONS_MAX + 1


def test_all_addresses_together_have_a_limit_and_the_oldest_of_all_gives_way(door):
    for key in range(CONNECTIONS_MAX):
        assert door.come(key, f"a{key // 100}", 1.0) is None
    assert door.come(9_000, "new", 1.0) == 9_000
    assert door.come(9_000, "new", 1.0 + STALE_S + 0.01) == 0
    assert len(door) == CONNECTIONS_MAX


def test_a_broker_with_few_descriptors_has_a_lower_limit():
    door = Doorstep(HANDSHAKE_S, 3)
    assert [door.come(key, f"a{key}", 1.0) for key in range(4)] == [None, None, None, 3]


def test_whoever_takes_too_long_is_overdue(door):
    door.come(1, "a", 1.0)
    door.come(2, "b", 2.0)
    assert door.next_deadline() == 1.0 + HANDSHAKE_S
    assert door.overdue(0.99 + HANDSHAKE_S) == []
    assert door.overdue(1.0 + HANDSHAKE_S) == [1]
    assert door.overdue(2.0 + HANDSHAKE_S) == [1, 2]
    door.leave(1)
    assert door.next_deadline() == 2.0 + HANDSHAKE_S
    door.leave(2)
    assert door.next_deadline() == math.inf


def test_nothing_is_kept_of_who_has_left_or_was_sent_away(door):
    for key in range(CONNECTIONS_MAX):
        door.come(key, f"a{key}", 1.0)
    for key in range(10_000, 10_100):
        assert door.come(key, f"a{key}", 1.0) == key
    for key in range(CONNECTIONS_MAX):
        door.leave(key)
    assert len(door) == len(door._count) == 0


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
    assert origin_of(address) == origin
