"""Lines about those who are not let in: few, and of few words, whatever comes."""

import math

import pytest

from braidmq.carrier.gate import Throng, Unjudged
from braidmq.carrier.strangers import TOLD_S, Strangers
from braidmq.zmtp.violation import Refusal

LINE_CHARACTERS_MAX = 300

KINDS = {
    "refused": lambda it: it.on_refused("192.0.2.1", Refusal("400", "the key abc...")),
    "barred": lambda it: it.on_refused("192.0.2.1", Refusal("300", "mallory")),
    "unjudged": lambda it: it.on_refused("192.0.2.1", Unjudged("the key abc...", RuntimeError("broken"))),
    "throng": lambda it: it.on_refused("192.0.2.1", Throng("the key abc...")),
    "lout": lambda it: it.on_lout("192.0.2.1", "the key abc...", "a frame that is too long"),
    "odd": lambda it: it.on_violation("192.0.2.1", "does not speak ZMTP"),
    "siege": lambda it: it.on_siege("192.0.2.1"),
    "crowd": lambda it: it.on_crowd(1024),
}


@pytest.fixture
def strangers():
    return Strangers()


def test_nothing_is_told_of_nobody(strangers, caplog):
    strangers.tell(1.0)
    assert caplog.messages == []
    assert strangers.due == math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_one_is_told_at_once_and_the_others_together(strangers, caplog, kind):
    KINDS[kind](strangers)
    assert strangers.due <= 1.0
    strangers.tell(1.0)
    for _ in range(10_000):
        KINDS[kind](strangers)
        strangers.tell(2.0)
    assert strangers.due == 1.0 + TOLD_S
    assert [line.split()[0] for line in caplog.messages] == ["1"]
    strangers.tell(1.0 + TOLD_S)
    assert [line.split()[0] for line in caplog.messages] == ["1", "10000"]
    assert strangers.due == math.inf
    assert all(len(line) <= LINE_CHARACTERS_MAX and line.isprintable() for line in caplog.messages)


def test_each_kind_is_told_by_itself(strangers, caplog):
    for kind in KINDS.values():
        kind(strangers)
    strangers.tell(1.0)
    assert len(set(caplog.messages)) == len(KINDS)
    assert len({record.msg for record in caplog.records}) == len(KINDS)


def test_why_a_key_could_not_be_judged_is_told_with_it_and_not_kept(strangers, caplog):
    KINDS["unjudged"](strangers)
    strangers.tell(1.0)
    assert "RuntimeError: broken" in caplog.text
    assert strangers._unjudged.error is None


def test_they_are_counted(strangers):
    for kind in KINDS.values():
        kind(strangers)
    assert (strangers.refused, strangers.turned_away) == (4, 2)
