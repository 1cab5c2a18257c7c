"""What brokers told is added up once for a look, and what has not changed since the one before is taken over."""

from braidmq.monitor.net import Views, nodes, services, timed
from tests.support.looks import look, mute, node, service, told


def seen(*views, earlier=()):
    return timed(list(views), earlier, 1.0)


def names(views):
    return [(each.name, each.workers, each.queued, sorted(each.parts)) for each in services(views)]


def test_services_and_nodes_are_added_up_once():
    views = seen(told("b1", services=[service()], nodes=[node()]))
    assert services(views) is services(views)
    assert nodes(views) is nodes(views)
    assert services(list(views)) == services(views)
    assert nodes(list(views)) == nodes(views)


def test_what_has_not_changed_is_taken_over():
    before = seen(told("b1", services=[service("a"), service("b")]), told("b2", services=[service("a")]))
    now = seen(told("b1", services=[service("a"), service("b")]), told("b2", services=[service("a")]), earlier=before)
    assert services(now) is services(before)
    assert now[0].report.services is before[0].report.services


def test_what_has_changed_of_one_service_leaves_the_others():
    before = seen(told("b1", services=[service("a"), service("b")]), told("b2", services=[service("a")]))
    now = seen(told("b1", services=[service("a"), service("b", queued=3)]), told("b2", services=[service("a")]),
               earlier=before)  # fmt: skip
    a, b = services(now)
    assert a is services(before)[0]
    assert (b.name, b.queued) == ("b", 3)


def test_services_that_come_or_go_and_brokers_that_tell_nothing_are_seen():
    both = [service("a"), service("b")]
    views = seen(told("b1", services=both), told("b2", services=both))
    for then in (
        [told("b1", services=both), told("b2", services=[service("a")])],
        [told("b1", services=both), mute("b2")],
        [told("b1", services=both)],
        [told("b1", services=[]), told("b2", services=both)],
        [told("b1", services=both), told("b2", services=both)],
        [told("b2", services=both), told("b3", services=both)],
    ):
        views = seen(*then, earlier=views)
        assert names(views) == names(then)


def test_workers_that_come_are_counted_though_rows_are_the_same():
    rows = [service("a", workers=1)]
    before = seen(told("b1", services=rows, nodes=[node("w1", serves=["a"])]))
    then = told("b1", services=rows, nodes=[node("w1", serves=["a"]), node("w2", serves=["a"])])
    assert [each.workers for each in services(before)] == [1]
    assert [each.workers for each in services(seen(then, earlier=before))] == [2]


def test_no_look_holds_the_one_before():
    views = Views([told("b1", services=[service()])])
    assert not any(isinstance(value, Views) for value in vars(Views(list(views), views)).values())
    assert look(*views).views == list(views)
