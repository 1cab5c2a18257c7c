"""What may have blocked an event loop."""

import pytest

from braidmq.host.stalls import TELL_S, Stalls


@pytest.fixture
def stalls(caplog):
    return Stalls()


def test_a_handler_that_is_under_way_may_be_it(stalls, caplog):
    stalls.on_stall("orders", 5.0, ["pricing", "stock"], 100.0)
    (told,) = caplog.messages
    assert "orders: the event loop stood still for 5.0 s, in a handler of pricing or stock" in told
    assert "'def'" in told


def test_a_handler_that_has_ended_meanwhile_may_be_it_and_earlier_ones_not(stalls, caplog):
    stalls.ended_at.update(early=94.0, pricing=99.9)
    stalls.on_stall("orders", 5.0, [], 100.0)
    assert "in a handler of pricing:" in caplog.text
    assert "early" not in caplog.text


def test_without_a_handler_it_is_something_else(stalls, caplog):
    stalls.on_stall("orders", 5.0, [], 100.0)
    assert "no handler" in caplog.text


def test_it_is_told_once_in_a_while(stalls, caplog):
    for second in range(int(3 * TELL_S)):
        stalls.on_stall("orders", 0.9, [], float(second))
    assert len(caplog.messages) == 3
