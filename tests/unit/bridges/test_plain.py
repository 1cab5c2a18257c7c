"""PLAIN: who may in."""

import pytest

from braidmq.bridges.plain import PlainDoor


@pytest.fixture
def door():
    return PlainDoor({"shop": "secret", "bank": "other"})


def test_right_password_is_let_in(door):
    assert door.admits(b"shop", b"secret")
    assert door.admits(b"bank", b"other")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (b"shop", b"Secret"), (b"shop", b""), (b"shop", b"other"), (b"shop", b"secre\xff"), (b"bank", b"secret"),
        (b"nobody", b"secret"), (b"", b"secret"), (b"", b""), (b"\xff", b"secret"),
    ],
)  # fmt: skip
def test_everybody_else_is_refused(door, user, password):
    assert not door.admits(user, password)


def test_password_that_stands_for_none_lets_nobody_in(door):
    assert not door.admits(b"nobody", b"\0" * 16)
