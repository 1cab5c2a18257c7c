from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.dedup import Key, ReplyCache, key_of
from braidmq.settings import Settings


def key(number: int) -> Key:
    return key_of(b"client", number.to_bytes(16))


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
