import copy
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from braidmq import errors
from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    BraidError,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NodeClosed,
    NotRegistered,
    NotRun,
    NoWorker,
    OutcomeUnknown,
    Overloaded,
    PayloadTooLarge,
    ProtocolError,
    RequestError,
    ServiceError,
    WrongLoop,
)

REQUEST_ERRORS = [
    DeadlineExceeded,
    NoBroker,
    NoWorker,
    Overloaded,
    AccessDenied,
    PayloadTooLarge,
    AttemptsExhausted,
]


class TestTree:
    @pytest.mark.parametrize(
        "kind",
        [ConfigError, NodeClosed, NotRegistered, NotRun, OutcomeUnknown, ProtocolError, RequestError, WrongLoop],
    )
    def test_everything_is_a_braid_error(self, kind: type[BraidError]) -> None:
        assert kind.__bases__[0] is BraidError

    @pytest.mark.parametrize("kind", [*REQUEST_ERRORS, ServiceError])
    def test_what_ends_a_request_is_a_request_error(self, kind: type[RequestError]) -> None:
        assert kind.__bases__[0] is RequestError

    def test_deadline_exceeded_is_a_timeout_error(self) -> None:
        assert issubclass(DeadlineExceeded, TimeoutError)

    def test_config_error_is_a_value_error(self) -> None:
        assert issubclass(ConfigError, ValueError)

    def test_wrong_loop_is_a_runtime_error(self) -> None:
        assert issubclass(WrongLoop, RuntimeError)

    def test_only_these_have_a_second_base(self) -> None:
        defined = {kind for _name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BraidError)}
        assert {kind for kind in defined if len(kind.__bases__) > 1} == {DeadlineExceeded, ConfigError, WrongLoop}

    def test_docstring_draws_every_exception_with_its_second_base(self) -> None:
        assert errors.__doc__ is not None
        drawn = dict(re.findall(r"── (\w+)(?: \((\w+)\))?", errors.__doc__))
        defined = {
            name: kind
            for name, kind in inspect.getmembers(errors, inspect.isclass)
            if issubclass(kind, BraidError) and kind is not BraidError
        }
        assert drawn == {
            name: kind.__bases__[1].__name__ if len(kind.__bases__) > 1 else "" for name, kind in defined.items()
        }


class TestRequestError:
    @pytest.mark.parametrize("kind", REQUEST_ERRORS)
    def test_says_what_happened_to_the_request(self, kind: type[RequestError]) -> None:
        error = kind("why", request_id=b"id", service="echo", attempts=2, maybe_executed=True)
        assert str(error) == "why"
        assert (error.request_id, error.service, error.attempts, error.maybe_executed) == (b"id", "echo", 2, True)

    @pytest.mark.parametrize("kind", REQUEST_ERRORS)
    def test_promises_by_default_that_it_never_left(self, kind: type[RequestError]) -> None:
        error = kind("why")
        assert (error.request_id, error.service, error.attempts, error.maybe_executed) == (b"", "", 0, False)

    def test_deadline_is_caught_as_timeout(self) -> None:
        with pytest.raises(TimeoutError, match="late"):
            raise DeadlineExceeded("late")


class TestServiceError:
    def test_carries_code_message_and_details(self) -> None:
        error = ServiceError("OUT_OF_STOCK", "none left", {"sku": 1})
        assert (error.code, error.message, error.details) == ("OUT_OF_STOCK", "none left", {"sku": 1})
        assert str(error) == "OUT_OF_STOCK: none left"

    def test_may_be_a_code_alone(self) -> None:
        error = ServiceError("INTERNAL")
        assert (error.message, error.details) == ("", None)
        assert str(error) == "INTERNAL"

    def test_was_run_unless_it_says_otherwise(self) -> None:
        assert ServiceError("INTERNAL").maybe_executed
        assert not ServiceError("INTERNAL", maybe_executed=False).maybe_executed

    def test_carries_the_request(self) -> None:
        error = ServiceError("INTERNAL", request_id=b"id", service="echo", attempts=1)
        assert (error.request_id, error.service, error.attempts) == (b"id", "echo", 1)

    @pytest.mark.parametrize("code", ["INTERNAL", "not found", "läuft", "x" * 255, "404"])
    def test_has_a_code_that_can_be_shown(self, code: str) -> None:
        assert ServiceError(code).code == code

    @pytest.mark.parametrize("code", ["", " ", "a\nb", "\x1b[31m", "\ud800", "x" * 256, "€" * 86, None, 5, b"BAD"])
    def test_is_refused_without_one(self, code: Any) -> None:
        with pytest.raises(ConfigError, match="needs a code such as 'OUT_OF_STOCK'"):
            ServiceError(code, "text")


class OutOfStockError(ServiceError):
    """One of a handler's own, with arguments of its own."""

    def __init__(self, sku: int) -> None:
        super().__init__("OUT_OF_STOCK", f"{sku} is out of stock", {"sku": sku})
        self.sku = sku


COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]


class TestCopies:
    @pytest.mark.parametrize("twin_of", COPIES)
    @pytest.mark.parametrize("kind", REQUEST_ERRORS)
    def test_say_the_same(self, kind: type[RequestError], twin_of: Callable[[Any], Any]) -> None:
        error = kind("why", request_id=b"id", service="echo", attempts=2, maybe_executed=True)
        error.add_note("a note")
        twin = twin_of(error)
        assert (type(twin), str(twin), twin.__dict__) == (kind, "why", error.__dict__)

    @pytest.mark.parametrize("twin_of", COPIES)
    @pytest.mark.parametrize("error", [ServiceError("X" * 255, "none left", [1], attempts=3), OutOfStockError(7)])
    def test_of_a_service_error_say_the_same(self, error: ServiceError, twin_of: Callable[[Any], Any]) -> None:
        twin = twin_of(error)
        assert (type(twin), str(twin), twin.__dict__) == (type(error), str(error), error.__dict__)
