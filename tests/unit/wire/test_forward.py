from braidmq.wire.envelope import REPLY, Envelope, decode, encode
from braidmq.wire.forward import forwarded, readdressed

ID = bytes(range(16))


def reply() -> Envelope:
    return Envelope(REPLY, ID, 1, 2, 3, 4, 5, b"orders", b"", b"", 6, 7, b"\x07\x00\x00", b"payload")


def test_forwarded_message_has_the_names_and_the_tag_of_its_hop_and_the_rest_as_it_was() -> None:
    was = reply()
    rest = was.extension + was.payload
    message = forwarded(
        0x15, REPLY, 1, 2, 8, 4, 9, ID, b"orders", b"worker", b"shop", 6, len(was.extension), 7, rest
    )  # fmt: skip
    was.sent_ms, was.tag, was.sender, was.receiver = 8, 9, b"worker", b"shop"
    assert decode(message) == was
    assert message[4] == 0x15, "its writer's version"


def test_readdressed_message_differs_in_its_tag_its_count_and_its_time() -> None:
    was = reply()
    message = readdressed(encode(was), tag=9, retry_count=8, sent_ms=7)
    was.tag, was.retry_count, was.sent_ms = 9, 8, 7
    assert decode(message) == was
