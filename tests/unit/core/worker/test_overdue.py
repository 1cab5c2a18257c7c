"""Handlers past their deadline: which of them may go on without a place."""

from typing import Any

import pytest

from braidmq.core.worker.job import Delivery, Job, LocalService
from braidmq.core.worker.overdue import STRAY_AGAIN_S, STRAY_S, Overdue
from braidmq.wire.envelope import REQUEST, Envelope
from tests.support.rigs.node_rig import CLIENT, NodeRig, request_id


@pytest.fixture
def rig(make: Any) -> NodeRig:
    rig: NodeRig = make("a")
    return rig


@pytest.fixture
def service() -> LocalService:
    return LocalService(b"echo", 1)


def begun(rig: NodeRig, service: LocalService, number: int) -> Job:
    """A job whose handler goes on."""
    request = Envelope(REQUEST, request_id(number), tag=number, sender=CLIENT, service=b"echo")
    job = Job(bytes((number,)), service, request, Delivery(rig["a"].link, request), rig.now, rig.now)
    job.begun = job.running = True
    return job


def test_handler_has_time_to_stop_and_is_a_stray_then(rig: NodeRig, service: LocalService) -> None:
    overdue = Overdue(rig.core.links.events)
    job = begun(rig, service, 1)
    assert overdue.look(job) == STRAY_S
    assert not overdue.strays
    assert overdue.look(job) == 0.0
    assert (overdue.strays, service.strays) == ({job.key: job}, 1)
    overdue.validate_state([service])
    assert overdue.end(job)
    assert (overdue.strays, service.strays) == ({}, 0)
    overdue.validate_state([service])


def test_end_of_a_handler_with_a_place_is_none_of_a_stray(rig: NodeRig, service: LocalService) -> None:
    overdue = Overdue(rig.core.links.events)
    job = begun(rig, service, 1)
    overdue.look(job)
    assert not overdue.end(job)
    assert service.strays == 0


def test_no_more_handlers_than_the_service_has_places_are_strays(rig: NodeRig, service: LocalService) -> None:
    overdue = Overdue(rig.core.links.events)
    first, second = begun(rig, service, 1), begun(rig, service, 2)
    for job in (first, second):
        overdue.look(job)
    assert overdue.look(first) == 0.0
    assert [overdue.look(second) for _ in range(3)] == [STRAY_AGAIN_S] * 3
    overdue.end(first)
    assert overdue.look(second) == 0.0
    rig.pump()
    assert sum("after the deadline" in line for line in rig.log) == 2, "each is told of once"


def test_what_has_not_begun_keeps_its_place(rig: NodeRig, service: LocalService) -> None:
    overdue = Overdue(rig.core.links.events)
    job = begun(rig, service, 1)
    job.begun = False
    overdue.look(job)
    assert overdue.look(job) == STRAY_AGAIN_S
    assert not overdue.strays
