"""Only registered keys get in; all that goes wrong refuses."""

import pytest

from braidmq.carrier.gate import Early, Gate, Throng, Unjudged
from braidmq.members import Member, Role, Standing
from braidmq.zmtp.violation import Refusal

KEY, OTHER = bytes(range(32)), bytes(32)


class Directory:
    def member(self, principal):
        return Member("n", Role.NODE) if principal == KEY.hex() else None

    def standing(self, _principal):
        return Standing.UNKNOWN


class Broken:
    def member(self, _principal):
        raise RuntimeError("it is broken")

    def standing(self, _principal):
        raise RuntimeError("it is broken")


def refusal(gate, key=KEY):
    with pytest.raises(Refusal) as found:
        gate(key)
    return found.value


def test_a_registered_key_gets_in_under_its_principal():
    assert Gate(Directory())(KEY) == KEY.hex()


def test_any_other_key_is_refused_for_good():
    found = refusal(Gate(Directory()), OTHER)
    assert (found.status, found.who) == ("400", f"the key {'0' * 16}...")


def test_a_key_that_was_registered_is_refused_by_the_name_that_it_had():
    gate = Gate(Directory())
    gate.former = lambda principal: "n7" if principal == OTHER.hex() else ""
    assert refusal(gate, OTHER).who == "n7"
    assert refusal(gate, bytes([1]) * 32).who == f"the key {'01' * 8}..."


def test_a_barred_key_is_refused_for_a_while():
    gate = Gate(Directory())
    gate.barred = lambda principal: principal == KEY.hex()
    assert (refusal(gate).status, refusal(gate).who) == ("300", "n")
    gate.barred = lambda _principal: False
    assert gate(KEY) == KEY.hex()


def test_whether_a_stranger_is_barred_is_not_asked():
    gate = Gate(Directory())
    gate.barred = pytest.fail
    assert refusal(gate, OTHER).status == "400"


def test_a_directory_that_fails_refuses_and_tells_why():
    found = refusal(Gate(Broken()))
    assert isinstance(found, Unjudged)
    assert found.status == "500"
    assert str(found.error) == "it is broken"


def test_bars_that_fail_refuse():
    gate = Gate(Directory())

    def fail(_principal):
        raise KeyError

    gate.barred = fail
    assert refusal(gate).status == "500"


def test_a_throng_is_refused_for_a_while():
    assert Throng("the key abc...").status == "300"


def test_where_no_registry_is_known_nobody_is_refused_for_good():
    gate = Gate(Directory())
    gate.blind = lambda: True
    found = refusal(gate, OTHER)
    assert isinstance(found, Early)
    assert (found.status, found.why) == ("300", "early")
    assert gate(KEY) == KEY.hex()
