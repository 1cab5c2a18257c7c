"""Several observers of one node."""

from typing import Any

from braidmq.observability.several import together
from braidmq.observer import NodeObserver


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
