"""Several observers of one node."""

from typing import Any

from braidmq.messages import Request
from braidmq.observability.several import together
from braidmq.observer import HandlerEnd, JobEnd, NodeObserver, NodeTracer


def test_several_observers_are_told_whatever_one_raises(caplog: Any) -> None:
    class Seeing(NodeObserver):
        def __init__(self, error: Exception | None = None) -> None:
            self.seen: list[tuple[bytes, str, float]] = []
            self.error = error

        def on_call(self, id_: bytes, service: str, now: float) -> None:
            self.seen.append((id_, service, now))
            if self.error:
                raise self.error

    first, second = Seeing(ValueError("no")), Seeing()
    both = together(first, second)
    both.on_call(b"id", "s", 1.0)
    both.on_lag(0.0, 1.0)
    assert first.seen == second.seen == [(b"id", "s", 1.0)]
    assert "on_call of the observer failed" in caplog.text


class Marking(NodeTracer):
    def __init__(self, mark: str, told: list[str], *, fails: bool = False) -> None:
        self._mark = mark
        self._told = told
        self._fails = fails

    def call_headers(self, service: str, headers: Any) -> Any:
        if self._fails:
            raise ValueError("no")
        return {**headers, self._mark: service}

    def call_refused(self, error: BaseException) -> None:
        self._told.append(f"{self._mark} {error}")

    def begin_handler(self, request: Request) -> HandlerEnd:
        if self._fails:
            raise ValueError("no")
        return lambda how, code: self._told.append(f"{self._mark} {how} {code}")


def test_several_tracers_carry_all_that_they_have(caplog: Any) -> None:
    told: list[str] = []
    request = Request(b"", "c", "w", "s", b"id", False, 0, 1.0, {}, "b1", lambda: 0.0)
    several = together(Marking("a", told), NodeObserver(), Marking("f", told, fails=True), Marking("b", told))
    assert isinstance(several, NodeTracer)
    assert several.call_headers("s", {"own": "1"}) == {"own": "1", "a": "s", "b": "s"}
    several.call_refused(KeyError("k"))
    several.begin_handler(request)(JobEnd.ERROR, "NO")
    assert told == ["a 'k'", "f 'k'", "b 'k'", "b error NO", "a error NO"]
    assert "call_headers of the tracer failed" in caplog.text


def test_observers_that_do_not_trace_make_none_that_does() -> None:
    assert not isinstance(together(NodeObserver()), NodeTracer)
