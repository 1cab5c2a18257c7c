"""What may have blocked an event loop."""

import pytest

from braidmq.host.stalls import KEPT_S, TELL_S, Stalls


@pytest.fixture
def stalls(caplog):
    return Stalls()


def test_those_that_run_and_those_that_have_ended_meanwhile_may_be_it(stalls):
    stalls.ended_at.update(early=94.0, pricing=99.9)
    assert stalls.suspects(5.0, ["stock"], 100.0) == ("pricing", "stock")


def test_suspects_are_named(stalls, caplog):
    assert stalls.on_stall("orders", 5.0, ("pricing", "stock"), 100.0)
    (told,) = caplog.messages
    assert "orders: the event loop stood still for 5.0 s, in a handler of pricing or stock" in told
    assert "'def'" in told


def test_a_short_standstill_is_told_in_hundredths(stalls, caplog):
    stalls.on_stall("orders", 0.125, ("pricing",), 100.0)
    assert "stood still for 0.12 s, in a handler of pricing:" in caplog.text


def test_without_a_handler_it_is_something_else(stalls, caplog):
    stalls.on_stall("orders", 5.0, (), 100.0)
    assert "no handler" in caplog.text


def test_each_suspect_is_told_once_in_a_while_with_a_count(stalls, caplog):
    for second in range(int(3 * TELL_S)):
        for tenths, suspect in enumerate(("pricing", "stock")):
            assert stalls.on_stall("orders", 0.2, (suspect,), second + tenths * 0.5)
    assert len(caplog.messages) == 6
    assert sum("(and 9 times more since this was told last)" in text for text in caplog.messages) == 4


def test_one_standstill_is_noticed_once(stalls, caplog):
    assert stalls.on_stall("orders", 0.7, ("pricing",), 100.0)
    assert not stalls.on_stall("orders", 0.9, (), 100.1)
    assert len(caplog.messages) == 1
    assert stalls.on_stall("orders", 0.7, (), 101.0)


def test_a_service_that_is_offered_no_more_is_forgotten_after_a_while(stalls):
    stalls.ended_at.update(offered=0.0, gone=0.0, lately=1.0)
    stalls.forget({"offered"}, KEPT_S + 0.5)
    assert stalls.ended_at == {"offered": 0.0, "lately": 1.0}


def test_what_was_told_long_ago_is_forgotten(stalls):
    for number in range(1_000):
        stalls.on_stall("orders", 0.1, (f"s{number}",), float(number))
    assert len(stalls._told_at) <= TELL_S
