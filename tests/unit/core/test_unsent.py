from braidmq.core.unsent import Unsent


def test_keeps_messages_in_order_and_counts_their_bytes():
    unsent = Unsent([b"one"])
    unsent.add([b"three", b""])
    assert unsent
    assert unsent.bytes == 8
    assert unsent.take() == [b"one", b"three", b""]


def test_is_empty_once_it_was_taken():
    unsent = Unsent([b"one"])
    unsent.take()
    assert not unsent
    assert (unsent.bytes, unsent.take()) == (0, [])
