from braidmq.core.send_queue import SendQueue
from braidmq.wire.control import Heartbeat, decode_control
from braidmq.wire.envelope import UINT32


def test_messages_come_out_in_order_for_each_destination_and_only_once() -> None:
    send_queue: SendQueue[str] = SendQueue()
    for destination, message in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        send_queue.put(destination, message)
    assert send_queue.take() == {"a": [b"1", b"3"], "b": [b"2"]}
    assert send_queue.take() == {}


def test_what_is_put_after_take_does_not_change_what_was_taken() -> None:
    send_queue: SendQueue[str] = SendQueue()
    send_queue.put("a", b"1")
    taken = send_queue.take()
    send_queue.put("a", b"2")
    assert taken == {"a": [b"1"]}


def test_what_is_dropped_is_returned_and_not_sent() -> None:
    send_queue: SendQueue[str] = SendQueue()
    send_queue.put("a", b"1")
    send_queue.put("b", b"2")
    assert send_queue.drop("a") == [b"1"]
    assert send_queue.drop("a") == []
    assert send_queue.take() == {"b": [b"2"]}


def test_control_message_says_when_it_was_written() -> None:
    send_queue: SendQueue[str] = SendQueue()
    now = (UINT32 + 6) / 1000
    send_queue.put_control("a", Heartbeat(), now)
    ((message,),) = send_queue.take().values()
    assert decode_control(message) == Heartbeat()
    assert int.from_bytes(message[8:12]) == 5
