from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.worker.dedup import Key, Keys, ReplyCache
from braidmq.settings import Settings
from braidmq.wire.envelope import REQUEST, Envelope
from braidmq.wire.extension import Field, encode_headers, pack_field


def key(number: int) -> Key:
    return b"client" + number.to_bytes(16)


def reply(number: int, size: int = 10) -> bytes:
    return number.to_bytes(16) + bytes(size)


@pytest.fixture
def cache() -> Iterator[ReplyCache]:
    cache = ReplyCache(Settings(dedup_s=60.0, dedup_entries_max=3, dedup_bytes_max=4096))
    yield cache
    cache.validate_state()


def test_remembers_what_was_put(cache: ReplyCache) -> None:
    cache.put(key(1), reply(1), 0.0)
    assert key(1) in cache
    assert cache.get(key(1)) == reply(1)
    assert key(2) not in cache
    assert cache.get(key(2)) is None


def test_remembers_that_a_request_without_a_reply_was_run(cache: ReplyCache) -> None:
    cache.put(key(1), None, 0.0)
    assert key(1) in cache
    assert cache.get(key(1)) is None
    assert cache.size_bytes == 0


def test_oldest_goes_first_when_the_count_is_reached(cache: ReplyCache) -> None:
    for number in range(4):
        cache.put(key(number), reply(number), 0.0)
    assert [key(number) in cache for number in range(4)] == [False, True, True, True]


def test_window_ends(cache: ReplyCache) -> None:
    cache.put(key(1), reply(1), 0.0)
    cache.put(key(2), reply(2), 30.0)
    cache.expire(60.0)
    assert key(1) in cache
    cache.expire(60.1)
    assert key(1) not in cache
    assert key(2) in cache


def test_bytes_run_out_before_the_memory_that_it_was_run(cache: ReplyCache) -> None:
    cache.put(key(1), reply(1, 3000), 0.0)
    cache.put(key(2), reply(2, 3000), 0.0)
    assert key(1) in cache
    assert cache.get(key(1)) is None
    assert cache.get(key(2)) is not None


def test_reply_that_is_larger_than_all_is_not_kept(cache: ReplyCache) -> None:
    cache.put(key(1), reply(1, 100_000), 0.0)
    assert key(1) in cache
    assert cache.get(key(1)) is None
    assert cache.size_bytes == 0


@given(
    st.lists(st.tuples(st.floats(0, 10), st.none() | st.integers(0, 3000)), max_size=60),
    st.floats(0, 30),
    st.integers(1, 20),
    st.integers(1024, 10_000),
)
def test_bounds_hold_and_the_window_is_kept(
    puts: list[tuple[float, int | None]], window_s: float, entries_max: int, bytes_max: int
) -> None:
    cache = ReplyCache(Settings(dedup_s=window_s, dedup_entries_max=entries_max, dedup_bytes_max=bytes_max))
    now, times = 0.0, []
    for number, (pause_s, size) in enumerate(puts):
        now += pause_s
        times.append(now)
        cache.put(key(number), None if size is None else reply(number, size), now)
        cache.validate_state()
        for other in range(max(0, number + 1 - entries_max), number + 1):
            assert (key(other) in cache) == (times[other] >= now - window_s)
    cache.expire(now + window_s + 1.0)
    assert len(cache) == cache.size_bytes == 0


class TestKeys:
    def key(self, keys: Keys | None = None, **fields: Any) -> Key:
        asked = {"service": b"echo", "sender": b"client", "payload": b"payload", **fields}
        return (keys or Keys(b"salt")).key_of(Envelope(REQUEST, asked.pop("id", bytes(16)), **asked))

    @pytest.mark.parametrize(
        "other",
        [
            {"id": bytes(15) + b"1"},
            {"sender": b"another"},
            {"service": b"other"},
            {"payload": b"another"},
            {"extension": encode_headers({"a": "b"})},
            {"extension": b"malformed"},
            {"service": b"echopay", "payload": b"load"},
        ],
    )
    def test_what_is_not_the_same_request_has_another_key(self, other: dict[str, Any]) -> None:
        assert self.key() == self.key()
        assert self.key(**other) == self.key(**other)
        assert self.key(**other) != self.key()

    def test_what_a_further_attempt_adds_does_not_count(self) -> None:
        headers = encode_headers({"a": "b"})
        added = pack_field(Field.INSTANCE, bytes(8)) + pack_field(Field.AVOID, bytes(9))
        assert self.key(extension=headers + added, retry_count=2, flags=1, tag=7, receiver=b"w") == self.key(
            extension=headers
        )
        assert self.key(extension=added) == self.key()

    def test_bytes_of_the_headers_are_not_taken_for_those_of_the_payload(self) -> None:
        headers = encode_headers({"a": "b"})
        body = headers[3:]
        assert self.key(payload=body) != self.key(payload=b"", extension=headers)

    def test_nobody_foresees_a_key_without_the_salt(self) -> None:
        assert self.key(Keys(b"one")) != self.key(Keys(b"two"))
