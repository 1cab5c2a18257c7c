import copy
import pickle
import time
from collections.abc import Callable

import pytest

from braidmq.messages import Reply, Request


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def request(deadline: float, clock: Callable[[], float]) -> Request:
    return Request(
        payload=b"payload",
        sender="shop",
        receiver="worker",
        service="echo",
        id=bytes(16),
        possible_duplicate=False,
        retry_count=0,
        deadline=deadline,
        headers={"traceparent": "00"},
        broker="broker-a",
        _clock=clock,
    )


class TestRequest:
    def test_remaining_is_the_time_until_the_deadline(self) -> None:
        clock = Clock(100.0)
        received = request(105.0, clock)
        assert received.remaining == 5.0
        clock.now = 104.5
        assert received.remaining == 0.5

    def test_remaining_is_zero_once_the_deadline_has_passed(self) -> None:
        clock = Clock(105.0)
        received = request(105.0, clock)
        assert received.remaining == 0.0
        clock.now = 1_000.0
        assert received.remaining == 0.0

    def test_is_equal_only_to_itself(self) -> None:
        clock = Clock(0.0)
        first, second = request(1.0, clock), request(1.0, clock)
        assert first == first  # noqa: PLR0124 - identity is the point
        assert first != second
        assert len({first, second}) == 2

    def test_repr_does_not_show_the_clock(self) -> None:
        assert "clock" not in repr(request(1.0, Clock(0.0))).lower()

    @pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
    def test_can_be_copied_and_pickled(self, twin_of: Callable[[Request], Request]) -> None:
        received = request(time.monotonic() + 5.0, time.monotonic)
        twin = twin_of(received)
        assert repr(twin) == repr(received)
        assert 4.0 < twin.remaining <= received.remaining + 1.0


class TestReply:
    def test_is_equal_only_to_itself(self) -> None:
        first, second = (
            Reply(
                payload=b"",
                sender="worker",
                receiver="shop",
                service="echo",
                id=b"\x80" + bytes(15),
                original_id=bytes(16),
                possible_duplicate=False,
                retry_count=0,
                broker="broker-a",
            )
            for _ in range(2)
        )
        assert first != second
