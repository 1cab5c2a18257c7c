"""Connections that send without an end are told apart from those whose messages are read."""

import pytest

from braidmq.bridges.backlog import Backlog


@pytest.fixture
def backlog():
    made = Backlog(100, 250)
    for descriptor in (7, 8, 9):
        made.on_accepted(descriptor)
    return made


def test_one_of_whom_nothing_is_read_ends_when_it_has_sent_too_much(backlog):
    assert backlog.look({7: 100, 8: 0}, set()) == []
    assert backlog.look({7: 101, 8: 0}, set()) == [7]


def test_one_whose_messages_are_read_may_send_on_and_on(backlog):
    for count in range(0, 10_000, 99):
        assert backlog.look({7: count}, {7}) == []
    assert backlog.look({7: count + 100}, set()) == []
    assert backlog.look({7: count + 101}, set()) == [7]


def test_all_together_have_a_limit_and_those_with_most_end_first(backlog):
    assert backlog.look({7: 80, 8: 90, 9: 80}, set()) == []
    assert backlog.look({7: 80, 8: 90, 9: 85}, set()) == [8]


def test_new_connection_begins_from_nothing(backlog):
    backlog.look({7: 1_000}, {7})
    backlog.on_disconnected(7)
    backlog.on_accepted(7)
    assert backlog.look({7: 100}, set()) == []
    assert backlog.look({7: 101}, set()) == [7]
