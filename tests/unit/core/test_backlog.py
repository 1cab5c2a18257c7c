from braidmq.core.backlog import Backlog


def test_keeps_messages_in_order_and_counts_their_bytes():
    backlog = Backlog([b"one"])
    backlog.add([b"three", b""])
    assert backlog
    assert backlog.bytes == 8
    assert backlog.take() == [b"one", b"three", b""]


def test_is_empty_once_it_was_taken():
    backlog = Backlog([b"one"])
    backlog.take()
    assert not backlog
    assert (backlog.bytes, backlog.take()) == (0, [])
