"""What a visit has shown, and what the doctor makes of it; without a broker."""

from types import SimpleNamespace
from typing import Any

import pytest

from braidmq.cli.doctor import net, way
from braidmq.cli.doctor.finding import Asked, Finding, State, exit_code, ok
from braidmq.cli.doctor.report import encode, text
from braidmq.cli.doctor.visit import Visit
from braidmq.cli.exit_codes import ExitCode
from braidmq.core.links.link import FINAL, Failure
from braidmq.members import Member, Role
from braidmq.wire.control import Goodbye, Welcome

ADDRESS = "tcp://192.0.2.1:5551"
IDENTITY: Any = SimpleNamespace(
    name="n1", certificate=SimpleNamespace(role=Role.NODE, member=Member("n1", Role.NODE, calls=("echo",)))
)
ASKED = Asked("n1.braid", "echo")
WELCOME = Welcome("b1", "n1", 1_000, 1_024, "braidmq 9", registry=7)


def whole(**changes):
    """Return a visit at which all was well, but for some changes."""
    shown: dict[str, Any] = {
        "addresses": (ADDRESS,), "address": ADDRESS, "reached": True, "greeted": True, "welcome": WELCOME,
        "ahead_s": 0.1, "denied": False, "services": frozenset(("echo",)), "echo_s": 0.001,
    }  # fmt: skip
    return Visit("b1", (ADDRESS,), **shown | changes)


def judged(visit, checks=way.CHECKS):
    return way.judge(visit, IDENTITY, ASKED, checks)


def test_all_steps_are_taken_where_all_is_well():
    assert [(each.step, each.state) for each in judged(whole())] == [
        (check.__name__, State.OK) for check in way.CHECKS if check is not way.listed
    ]


@pytest.mark.parametrize("failure", [failure for failure in Failure if failure is not Failure.VERSION])
def test_every_failure_before_the_session_stops_the_way_once_with_something_to_do(failure):
    *before, last = judged(whole(greeted=False, welcome=None, failure=failure))
    assert {each.state for each in before} == {State.OK}
    assert last.state is State.STOP
    assert failure.value in last.text
    assert last.mend
    assert "{" not in last.mend
    assert last.code is not ExitCode.OK


@pytest.mark.parametrize("failure", sorted(FINAL - {Failure.VERSION}))
def test_what_does_not_pass_by_itself_has_a_place_of_its_own(failure):
    assert judged(whole(greeted=False, welcome=None, failure=failure))[-1].step in ("curve", "key")


@pytest.mark.parametrize(
    ("changes", "step", "state", "code"),
    [
        ({"addresses": (), "unresolved": "HOST has no address"}, "name", State.STOP, ExitCode.UNAVAILABLE),
        ({"welcome": None, "major": 2}, "session", State.STOP, ExitCode.FAILURE),
        ({"welcome": None, "goodbye": Goodbye("refused", "full")}, "session", State.STOP, ExitCode.DENIED),
        ({"welcome": None, "goodbye": Goodbye("ended", "stops")}, "session", State.STOP, ExitCode.UNAVAILABLE),
        ({"welcome": None}, "session", State.STOP, ExitCode.DEADLINE),
        ({"welcome": Welcome("b2", "n1", 1_000, 1_024)}, "session", State.STOP, ExitCode.UNAVAILABLE),
        ({"ahead_s": -90.0}, "clock", State.WRONG, ExitCode.FAILURE),
        ({"is_listed_anew": True}, "listed", State.NOTE, ExitCode.OK),
        ({"ahead_s": None}, "clock", State.NOTE, ExitCode.OK),
        ({"denied": True}, "rights", State.WRONG, ExitCode.DENIED),
        ({"echo_s": None}, "echo", State.WRONG, ExitCode.DEADLINE),
        ({"echo_s": None, "echo_refused": True}, "echo", State.NOTE, ExitCode.OK),
        ({"services": frozenset()}, "workers", State.WRONG, ExitCode.UNAVAILABLE),
    ],
)
def test_each_step_sees_what_is_wrong(changes, step, state, code):
    found = judged(whole(**changes))
    (odd,) = (each for each in found if each.state is not State.OK)
    assert (odd.step, odd.state, odd.code) == (step, state, code)
    assert bool(odd.mend) == odd.is_bad
    assert (found[-1] is odd) == (state is State.STOP or step == "workers")


def test_brokers_that_have_other_registries_are_named():
    assert net.registry([whole(), whole()]).state is State.OK
    behind = whole(welcome=Welcome("b1", "n1", 1_000, 1_024, registry=5))
    behind.name = "b2"
    found = net.registry([whole(), behind])
    assert "b1 7; b2 5" in found.text
    assert "bring it to b2: " in found.mend
    assert net.registry([whole(welcome=None)]) is None


def test_a_broker_that_is_none_of_the_net_is_told_so_only_if_one_could_be_asked():
    asked = Asked("n1.braid", via="b9")
    assert "its brokers are b1, b2" in net.via(asked, ["b1", "b2"], [whole()]).text
    assert "no broker could be asked" in net.via(asked, ["b1"], [whole(welcome=None)]).text
    assert net.via(Asked("n1.braid", via="b1"), ["b1"], [whole()]) is None


BAD = Finding("tcp", State.STOP, "nothing answers there", "start it", ExitCode.UNAVAILABLE, "b2")
DATES = Finding("dates", State.WRONG, "it has ended", "renew it", ExitCode.DENIED)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], ExitCode.OK),
        ([ok("tcp", "fine", "b1")], ExitCode.OK),
        ([BAD], ExitCode.UNAVAILABLE),
        ([ok("tcp", "fine", "b1"), BAD], ExitCode.FAILURE),
        ([DATES, ok("tcp", "fine", "b1")], ExitCode.DENIED),
        ([DATES, BAD], ExitCode.DENIED),
    ],
)
def test_the_exit_code_is_that_of_what_keeps_the_member_from_working(findings, code):
    assert exit_code(findings) == code


def test_text_and_json_say_the_same():
    shown = text([ok("file", "there"), BAD])
    assert "  ok    file         there\n\nb2\n  STOP  tcp          nothing answers there\n" in shown
    assert "-> start it\n" in shown
    assert shown.endswith("1 thing is to be mended")
    encoded = encode([BAD], 5)
    assert encoded.startswith(b'{"well":false,"exit_code":5,"steps":[{"broker":"b2","step":"tcp","state":"stop"')


def test_whatever_a_broker_says_cannot_reach_the_terminal_raw():
    assert "\x1b" not in text([Finding("session", State.STOP, "refused: \x1b[2J", broker="b1")])
