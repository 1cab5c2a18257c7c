import pytest

from braidmq.lab.simulation.payload import answer_to, key_of, key_of_answer, payload_of

SIZES = (0, 1, 9, 10, 11, 200, 40_960)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_payload_names_its_request_and_has_its_size(size_bytes):
    payload = payload_of("c0:17", size_bytes)
    assert key_of(payload) == "c0:17"
    assert len(payload) == max(size_bytes, len(b"c0:17 ") + len(str(size_bytes)) + 1)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_an_answer_names_the_request_that_it_answers(size_bytes):
    assert key_of_answer(answer_to(payload_of("c0:17", size_bytes))) == "c0:17"


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_is_changed_or_cut_off_answers_nothing(size_bytes):
    answer = answer_to(payload_of("c0:17", size_bytes))
    for wrong in (answer[:-1], answer + b".", answer[3:], b"", answer[:-1] + b"x", answer.replace(b"7", b"\xff", 1)):
        assert key_of_answer(wrong) == ""
    assert key_of_answer(answer.replace(b"c0:17", b"c0:18")) == "c0:18", "it is the whole answer to another one"


@pytest.mark.parametrize(
    "payload",
    [
        b"forged",
        b"re:",
        b"re:  ",
        b"re:c0:17 x ",
        b"re:c0:17 -1 ",
        b"re:c0:17 007 ",
        b"re:c0:17 99999999999 ",
        b"re:c0:17 " + b"9" * 5_000 + b" ",
        bytes(100),
    ],
    ids=lambda payload: repr(payload[:30]),
)
def test_whatever_somebody_says_is_no_answer_to_anything(payload):
    assert key_of_answer(payload) == ""


def test_a_payload_that_is_none_of_them_has_some_key():
    assert key_of(b"") == ""
    assert key_of(b"\xff\xfe") == "\ufffd\ufffd"
