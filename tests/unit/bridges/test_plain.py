"""PLAIN: who may in."""

import pytest

from braidmq.bridges.plain import PlainDoor

QUESTION = [b"1.0", b"7", b"bridge", b"127.0.0.1", b"", b"PLAIN", b"shop", b"secret"]


def asked(door, place, value):
    return door.answer([*QUESTION[:place], value, *QUESTION[place + 1 :]])


@pytest.fixture
def door():
    return PlainDoor({"shop": "secret", "bank": "other"})


def test_right_password_is_let_in_under_its_name(door):
    assert door.answer(QUESTION) == [b"1.0", b"7", b"200", b"OK", b"shop", b""]
    assert door.refused == 0


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (7, b"Secret"), (7, b""), (7, b"other"), (7, b"secre\xff"), (6, b"bank"), (6, b"nobody"), (6, b""),
        (5, b"NULL"), (0, b"2.0"),
    ],
)  # fmt: skip
def test_everybody_else_is_refused(door, place, value):
    assert asked(door, place, value) == [b"1.0", b"7", b"400", b"refused", b"", b""] or place == 0
    assert asked(door, place, value)[2] == b"400"
    assert door.refused == 2


def test_password_that_stands_for_none_lets_nobody_in(door):
    assert door.answer([*QUESTION[:6], b"nobody", b"\0" * 16])[2] == b"400"


@pytest.mark.parametrize("frames", [[], [b"1.0"], QUESTION[:7], [*QUESTION, b""]])
def test_question_of_another_form_is_refused(door, frames):
    assert door.answer(frames)[2] == b"400"
