"""What the keys of a net are called, and to which bridge each belongs."""

import pytest

from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.keys import Keys, is_ours
from braidmq.members import NAME_BYTES_MAX, SERVICE_BYTES_MAX

KEYS = Keys("shop", "b")


def test_facts_have_a_key_each_and_none_that_is_empty():
    told = KEYS.facts({"http": ["tcp://x:1", "tcp://x:2"], "zgossip": []}, {"b1": ["tcp://y:1"]}, {"a/b": 2, "c": 0})
    assert told == {
        b"braidmq/shop/bridge/b/http": b"tcp://x:1 tcp://x:2",
        b"braidmq/shop/broker/b1/b": b"tcp://y:1",
        b"braidmq/shop/service/a/b/b": b"2",
    }
    assert all(map(KEYS.is_own, told))


def test_longest_names_fit():
    keys = Keys("n" * 32, "b" * NAME_BYTES_MAX)
    told = keys.facts({"p" * 16: ["x"]}, {"b" * NAME_BYTES_MAX: ["x"]}, {"s" * SERVICE_BYTES_MAX: 1})
    assert all(wire.fits(key, value) for key, value in told.items())


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        (b"braidmq/shop/bridge/other/http", b"other"),
        (b"braidmq/shop/bridge/other/any/thing", b"other"),
        (b"braidmq/shop/bridge/other", b"other"),
        (b"braidmq/shop/service/a/b/other", b"other"),
        (b"braidmq/shop/broker/b1/other", b"other"),
        (b"braidmq/shop/service", b""),
        (b"braidmq/shop/else/b", None),
        (b"braidmq/shops/bridge/b", None),
        (b"braidmq/net/bridge/b/http", None),
        (b"bridge/b/http", None),
        (b"", None),
    ],
)
def test_every_key_of_the_net_belongs_to_one_bridge(key, owner):
    assert KEYS.owner(key) == owner
    assert not KEYS.is_own(key)


def test_root_is_kept_for_bridges_of_all_nets():
    assert is_ours(b"braidmq/x")
    assert not is_ours(b"braidmqx/x")
