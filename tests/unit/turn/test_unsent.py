from braidmq.turn.unsent import Unsent


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


def test_some_of_it_is_taken_in_order():
    unsent = Unsent([b"one", b"three", b"", b"four"])
    assert unsent.take_some(8) == [b"one", b"three", b""]
    assert unsent.bytes == 4
    assert unsent.take() == [b"four"]


def test_a_message_that_is_larger_than_wanted_is_taken_alone():
    unsent = Unsent([b"three", b""])
    assert unsent.take_some(2) == [b"three"]
    assert unsent.take_some(2) == [b""]
    assert unsent.take_some(2) == []
    assert not unsent
