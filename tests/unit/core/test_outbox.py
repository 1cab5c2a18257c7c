from braidmq.core.outbox import Outbox
from braidmq.wire.control import Heartbeat, decode_control
from braidmq.wire.envelope import UINT32


def test_messages_come_out_in_order_for_each_destination_and_only_once() -> None:
    outbox: Outbox[str] = Outbox()
    for destination, message in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        outbox.put(destination, message)
    assert outbox.take() == {"a": [b"1", b"3"], "b": [b"2"]}
    assert outbox.take() == {}


def test_what_is_put_after_take_does_not_change_what_was_taken() -> None:
    outbox: Outbox[str] = Outbox()
    outbox.put("a", b"1")
    taken = outbox.take()
    outbox.put("a", b"2")
    assert taken == {"a": [b"1"]}


def test_what_is_dropped_is_returned_and_not_sent() -> None:
    outbox: Outbox[str] = Outbox()
    outbox.put("a", b"1")
    outbox.put("b", b"2")
    assert outbox.drop("a") == [b"1"]
    assert outbox.drop("a") == []
    assert outbox.take() == {"b": [b"2"]}


def test_control_message_says_when_it_was_written() -> None:
    outbox: Outbox[str] = Outbox()
    now = (UINT32 + 6) / 1000
    outbox.put_control("a", Heartbeat(), now)
    ((message,),) = outbox.take().values()
    assert decode_control(message) == Heartbeat()
    assert int.from_bytes(message[8:12]) == 5
