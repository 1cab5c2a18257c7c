"""A tracer cannot do harm."""

import logging
from typing import Any

import pytest

from braidmq.observability.contained_tracer import ContainedTracer, tracer_of
from braidmq.observer import NodeObserver, NodeTracer
from braidmq.wire.limits import HEADERS_BYTES_MAX

LOG = logging.getLogger("braidmq.test")


class Adding(NodeTracer):
    def __init__(self, value: Any) -> None:
        self._value = value

    def call_headers(self, service: str, headers: Any) -> Any:
        return {**headers, "traceparent": self._value}


def test_what_fits_is_carried() -> None:
    tracer = ContainedTracer(Adding("00-1"), LOG)
    assert tracer.call_headers("s", None) == {"traceparent": "00-1"}
    assert tracer.call_headers("s", {"a": "b"}) == {"a": "b", "traceparent": "00-1"}


@pytest.mark.parametrize("value", ["x" * HEADERS_BYTES_MAX, 7, "\ud800"])
def test_what_does_not_fit_is_not_carried_and_what_the_caller_gave_is(value: Any) -> None:
    own = {"a": "b"}
    assert ContainedTracer(Adding(value), LOG).call_headers("s", own) is own


def test_a_repeated_request_keeps_its_headers() -> None:
    tracer = ContainedTracer(Adding("00-1"), LOG)
    assert tracer.call_headers("s", None, fixed=True) is None


@pytest.mark.parametrize(("service", "headers"), [(7, None), ("s", 7)])
def test_what_is_wrong_with_a_call_is_left_to_who_says_so(service: Any, headers: Any) -> None:
    assert ContainedTracer(Adding("00-1"), LOG).call_headers(service, headers) is headers


def test_each_method_is_complained_of_once(caplog: Any) -> None:
    class Broken(NodeTracer):
        def call_headers(self, service: str, headers: Any) -> Any:
            raise ValueError("no")

        def call_refused(self, error: BaseException) -> None:
            raise ValueError("no")

        def begin_handler(self, request: Any) -> Any:
            raise ValueError("no")

    tracer = ContainedTracer(Broken(), LOG)
    request: Any = None
    for _ in range(3):
        assert tracer.call_headers("s", None) is None
        tracer.call_refused(KeyError())
        assert tracer.begin_handler(request) is None
    assert len(caplog.records) == 3


def test_only_a_tracer_is_one() -> None:
    assert tracer_of(None) is None
    assert tracer_of(NodeObserver()) is None
    assert tracer_of(NodeTracer()) is not None
