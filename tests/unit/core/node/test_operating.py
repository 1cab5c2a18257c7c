"""What a node asks of brokers as one that operates the net, and what it makes of their words."""

import pytest

from braidmq.core.links.link import Link
from braidmq.core.node import operating
from braidmq.core.node.operating import Inquiry
from braidmq.errors import ConfigError
from braidmq.wire.operation import DONE, NOTHING, TAKE_OUT, Operate, Operated, Withheld
from tests.support.rigs.node_rig import NodeRig


def ask(rig: NodeRig, action: str = TAKE_OUT, name: str = "w") -> Inquiry:
    links: list[Link] = list(rig.core.links.links.values())
    inquiry = rig.core.operating.ask(links, action, name, force=False, now=rig.now)
    rig.pump()
    return inquiry


def test_all_brokers_that_are_up_are_asked_and_answer_for_themselves() -> None:
    rig = NodeRig("a", "b", "c")
    rig["c"].crash()
    inquiry = ask(rig)
    assert [link.name for link in inquiry.asked] == ["a", "b"]
    (question,) = rig["a"].take(Operate)
    assert rig["b"].take(Operate) == [question]
    assert (question.action, question.name, question.force) == (TAKE_OUT, "w", False)
    rig["a"].say(Operated(question.number, DONE, "so it is"))
    assert inquiry.is_open
    rig["b"].say(Operated(question.number, NOTHING))
    assert not inquiry.is_open
    assert {name: answer.outcome for name, answer in inquiry.answers.items()} == {"a": DONE, "b": NOTHING}


def test_broker_that_is_gone_is_waited_for_no_longer() -> None:
    rig = NodeRig("a", "b")
    inquiry = ask(rig)
    (question,) = rig["a"].take(Operate)
    rig["a"].say(Operated(question.number, DONE))
    rig["b"].crash()
    assert not inquiry.is_open
    assert inquiry.answers.keys() == {"a"}


def test_answers_count_once_and_only_for_what_was_asked_of_that_broker() -> None:
    rig = NodeRig("a", "b")
    links = [rig["a"].link]
    inquiry = rig.core.operating.ask(links, TAKE_OUT, "w", force=False, now=rig.now)
    rig["b"].say(Operated(inquiry.number, DONE, "a lie"))
    rig["a"].say(Operated(inquiry.number + 1, DONE, "of nothing"))
    assert not inquiry.answers
    rig["a"].say(Operated(inquiry.number, NOTHING), Operated(inquiry.number, DONE))
    assert inquiry.answers["a"].outcome == NOTHING
    rig.core.operating.end(inquiry)
    rig["a"].say(Operated(inquiry.number, DONE))
    assert inquiry.answers["a"].outcome == NOTHING


def test_so_many_at_one_time_and_no_more(patch_cores: pytest.MonkeyPatch) -> None:
    patch_cores.setattr(operating, "OPEN_MAX", 1)
    rig = NodeRig("a")
    first = ask(rig)
    with pytest.raises(ConfigError, match="1 operations are under way"):
        ask(rig)
    rig.core.operating.end(first)
    ask(rig)


def test_node_that_is_taken_out_logs_it_and_goes_on() -> None:
    rig = NodeRig("a", "b")
    rig.core.offer("echo", 4)
    rig.advance(0.2)
    credit = rig["b"].credit
    rig["a"].say(Withheld("ops", out=True), Withheld("ops"))
    assert "a gives this node no new work: ops has taken it out" in rig.log
    assert "a gives this node work again: ops has put it back" in rig.log
    assert rig["b"].credit == credit, "a broker that lies takes nothing from the others"
