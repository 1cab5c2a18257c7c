"""Foreign tuples take a bounded room, and nobody fills it for others."""

from braidmq.bridges.port import Peer
from braidmq.bridges.zgossip.hearsay import Hearsay
from braidmq.bridges.zgossip.limits import TUPLE_BYTES_MAX, TUPLES_MAX, VALUE_BYTES_MAX
from braidmq.bridges.zgossip.log import SLACK, Log

ONE, TWO = Peer(b"1"), Peer(b"2")


def hearsay():
    return Hearsay({"evicted": 0, "settled": 0})


def test_whoever_fills_the_table_loses_his_own_oldest_tuples():
    heard = hearsay()
    for number in range(10):
        heard.hear(b"honest %d" % number, b"1", TWO, 0.0)
    for number in range(TUPLES_MAX + 50):
        heard.hear(b"%d" % number, b"1", ONE, 0.0)
    heard.validate_state()
    assert len(heard.log) == TUPLES_MAX
    assert all(heard.log.get(b"honest %d" % number) for number in range(10))
    assert heard.log.get(b"59") is None
    assert heard.log.get(b"60") is not None


def test_whoever_fills_the_memory_loses_his_own():
    heard = hearsay()
    for number in range(10):
        heard.hear(b"honest %d" % number, b"1", TWO, 0.0)
    for number in range(TUPLE_BYTES_MAX // VALUE_BYTES_MAX + 50):
        heard.hear(b"%d" % number, bytes(VALUE_BYTES_MAX), ONE, 0.0)
    heard.validate_state()
    assert all(heard.log.get(b"honest %d" % number) for number in range(10))


def test_what_those_have_said_who_are_gone_stays_while_there_is_room():
    heard = hearsay()
    heard.hear(b"k", b"1", ONE, 0.0)
    heard.on_gone(ONE)
    heard.on_gone(TWO)
    heard.validate_state()
    assert heard.log.get(b"k").value == b"1"
    assert heard.log.get(b"k").source is None


def test_log_has_each_key_once_in_the_order_of_its_last_change_and_stays_small():
    log = Log()
    for number in range(10_000):
        log.put(b"%d" % (number % 7), b"%d" % number, None)
        assert len(log._order) <= 2 * 7 + SLACK
    log.validate_state()
    assert [each.value for each in log.after(0)] == [b"%d" % number for number in range(9_993, 10_000)]
    assert [each.value for each in log.after(9_998)] == [b"9998", b"9999"]
    log.remove(b"3")
    assert len(list(log.after(0))) == 6
    log.validate_state()
