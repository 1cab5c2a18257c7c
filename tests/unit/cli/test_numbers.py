"""Numbers on the command line are numbers, and as large as they may be."""

import pytest

from braidmq.cli import run

NO_NUMBERS = [
    ("load", "s", "--join", "x", "--rate"),
    ("load", "s", "--join", "x", "--duration"),
    ("ping", "s", "--join", "x", "--rate"),
    ("doctor", "--join", "x", "--timeout"),
    ("join", "CODE", "--timeout"),
    ("serve", "--join", "x", "--service", "s", "--exec", "cat", "--time-limit"),
    ("bench", "--rate"),
    ("bench", "--seconds"),
]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1"])
@pytest.mark.parametrize("arguments", NO_NUMBERS)
def test_what_is_no_number_is_told_by_its_option(capfd, arguments, number):
    assert run([*arguments, number]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"Invalid value for '{arguments[-1]}'" in line
    assert number in line


@pytest.mark.parametrize("size", ["-1", "67108865", "9" * 40])
def test_a_load_has_no_larger_payload_than_there_can_be(capfd, size):
    assert run(["load", "s", "--join", "x", "--bytes", size]) == 2
    assert "Invalid value for '--bytes'" in capfd.readouterr().err
