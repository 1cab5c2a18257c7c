import pytest

from braidmq.monitor.finding import Finding, Kind
from braidmq.monitor.happenings import KEPT_S, REFUSALS_S, Happenings
from braidmq.monitor.standing import Changes
from braidmq.wire.control import RefusalStatus
from braidmq.wire.registry_status import RegistryStatus
from tests.support.looks import mute, node, service, told

QUIET = Changes([], [])


class Looking:
    """Looks a second apart."""

    def __init__(self, *views):
        self.now_s = 0.0
        self._happenings = Happenings()
        assert self.look(*views) == []

    def look(self, *views, after_s=1.0):
        self.now_s += after_s
        return [tuple(each) for each in self._happenings.look(list(views), QUIET, self.now_s)]


def with_nodes(*nodes, name="b1", **more):
    return told(name, nodes=nodes, **more)


def test_the_first_look_tells_nothing_but_its_findings():
    finding = Finding(Kind.BROKER_DEAD, ("b2",), "b2 is dead")
    (found,) = Happenings().look([with_nodes(node())], Changes([finding], []), 0.0)
    assert (found.kind, found.names) == ("broker-dead", ("b2",))
    assert found.text == finding.sentence


def test_what_is_over_is_told_with_its_kind():
    finding = Finding(Kind.BROKER_DEAD, ("b2",), "b2 is dead for 12 s")
    (found,) = Happenings().look([told("b1")], Changes([], [finding]), 0.0)
    assert found == ("broker-dead-over", ("b2",), "it is over: b2 is dead for 12 s")


def test_nodes_come_leave_and_are_gone():
    looking = Looking(with_nodes(node()))
    assert looking.look(with_nodes(node(), node("w2"))) == [("node-joined", ("w2",), "w2 is connected")]
    leaving = with_nodes(node(), node("w2", state="leaving"))
    assert looking.look(leaving) == [("node-leaving", ("w2",), "w2 is about to leave")]
    assert looking.look(leaving) == []
    assert looking.look(with_nodes(node())) == [("node-left", ("w2",), "w2 is no longer connected")]


def test_a_node_that_leaves_one_broker_is_still_there():
    looking = Looking(with_nodes(node()), with_nodes(node(), name="b2"))
    assert looking.look(with_nodes(node(state="leaving")), with_nodes(node(), name="b2")) == []
    assert looking.look(with_nodes(), with_nodes(node(), name="b2")) == []


def test_many_at_one_time_are_one_entry():
    many = [node(f"w{number:04}") for number in range(2_000)]
    (found,) = Looking(with_nodes(node("x"))).look(with_nodes(node("x"), *many))
    assert (found[0], len(found[1])) == ("node-joined", 2_000)
    assert found[2].endswith("w0007 and 1,992 more are connected")


def test_nodes_of_a_broker_that_tells_nothing_have_not_left_at_once():
    looking = Looking(with_nodes(node()), with_nodes(node("w2"), name="b2"))
    assert looking.look(with_nodes(node()), mute("b2")) == []
    assert looking.look(with_nodes(node()), mute("b2"), after_s=KEPT_S) == [
        ("node-left", ("w2",), "w2 is no longer connected")
    ]


def test_who_is_cut_off_a_list_has_not_left():
    looking = Looking(with_nodes(node(), node("w2")))
    assert looking.look(with_nodes(node("w2"), nodes_total=2_000)) == []
    assert looking.look(with_nodes(node(), node("w2"))) == []
    assert looking.look(with_nodes(node("w2"))) == [("node-left", ("w1",), "w1 is no longer connected")]


def test_brokers_come_go_and_are_restarted():
    looking = Looking(told("b1"))
    assert looking.look(told("b1"), mute("b2")) == [("broker-joined", ("b2",), "the broker b2 is new in the net")]
    assert looking.look(told("b1")) == [("broker-left", ("b2",), "the broker b2 is no longer in the net")]
    assert looking.look(told("b1", uptime_s=2.0)) == [("broker-restarted", ("b1",), "b1 was restarted 2 s ago")]
    assert looking.look(told("b1", uptime_s=3.0)) == []


def test_a_restart_behind_a_short_silence_is_seen():
    looking = Looking(told("b1"), told("b2"))
    assert looking.look(mute("b1"), told("b2")) == []
    (found,) = looking.look(told("b1", uptime_s=1.0), told("b2"))
    assert found[0] == "broker-restarted"


def test_services_get_workers_and_lose_them():
    looking = Looking(told("b1", services=[service()]))
    assert looking.look(told("b1", services=[service(), service("sum")])) == [
        ("service-served", ("sum",), "sum has a worker")
    ]
    gone = told("b1", services=[service(workers=0), service("sum", workers=0)])
    assert looking.look(gone) == [("service-unserved", ("echo", "sum"), "echo and sum have no workers any more")]
    assert looking.look(gone) == []


def test_nobody_knows_of_workers_at_a_broker_that_tells_nothing():
    looking = Looking(told("b1"), told("b2", services=[service()]))
    assert looking.look(told("b1"), mute("b2")) == []


def refusing(count, kind="call", **more):
    row = RefusalStatus(kind, count, "mallory", "", "pricing", ago_ms=10)
    return told("b1", refusals=[row], **more)


def test_refusals_are_told_when_they_grow_and_not_all_the_time():
    looking = Looking(refusing(5))
    assert looking.look(refusing(5)) == []
    assert looking.look(refusing(7)) == [
        ("refused", ("b1",), "b1 has refused 2 more (call); the last one: mallory, pricing")
    ]
    assert looking.look(refusing(8)) == []
    (found,) = looking.look(refusing(1_010), after_s=REFUSALS_S)
    assert found[2].startswith("b1 has refused 1,003 more (call)")


def test_refusals_of_a_new_kind_are_told_at_once():
    (found,) = Looking(told("b1")).look(refusing(3))
    assert found[2].startswith("b1 has refused 3 more (call)")


def test_what_a_broker_refused_that_left_the_net_is_forgotten():
    looking = Looking(refusing(5), told("b2"))
    assert looking.look(mute("b1"), told("b2")) == []
    assert looking.look(refusing(5), told("b2")) == []
    assert [each[0] for each in looking.look(told("b2"))] == ["broker-left"]
    assert [each[0] for each in looking.look(refusing(5), told("b2"))] == ["broker-joined", "refused"]


def test_a_broker_that_was_restarted_counts_anew():
    looking = Looking(refusing(500))
    assert [each[0] for each in looking.look(refusing(2, uptime_s=1.0))] == ["broker-restarted", "refused"]
    assert looking.look(refusing(2, uptime_s=2.0)) == []


@pytest.mark.parametrize("versions", [(8, 8), (8, 7)])
def test_a_newer_registry_is_told_once(versions):
    def registered(*numbers):
        return [told(f"b{at}", registry=RegistryStatus(number, digest="")) for at, number in enumerate(numbers, 1)]

    looking = Looking(*registered(7, 7))
    (found,) = looking.look(*registered(*versions))
    who = "b1 and b2" if versions == (8, 8) else "b1"
    assert found == ("registry", ("b1", "b2")[: len(who.split(" and "))], f"registry 8 is in force at {who}; it was 7")
    assert looking.look(*registered(8, 8)) == []


def test_nothing_is_known_until_a_broker_has_told():
    happenings = Happenings()
    assert happenings.look([mute("b1")], QUIET, 0.0) == []
    assert happenings.look([with_nodes(node()), mute("b2")], QUIET, 1.0) == []


def test_services_are_first_known_when_all_brokers_tell():
    looking = Looking(told("b1", services=[service()]), mute("b2"))
    assert looking.look(told("b1", services=[service()]), told("b2", services=[service("sum")])) == []
    (found,) = looking.look(told("b1"), told("b2", services=[service("sum")]))
    assert found == ("service-unserved", ("echo",), "echo has no worker any more")
