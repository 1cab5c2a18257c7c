"""What holds for every name, service and pattern."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from braidmq.errors import ConfigError
from braidmq.members import (
    NAME_BYTES_MAX,
    SERVICE_BYTES_MAX,
    check_name,
    check_pattern,
    check_service,
    is_service,
    matches,
)

FIRST = string.ascii_letters + string.digits


def words(more: str, longest: int) -> st.SearchStrategy[str]:
    rest = st.text(FIRST + more, max_size=longest - 1)
    return st.builds(lambda first, tail: first + tail, st.sampled_from(FIRST), rest)


names = words("._-", NAME_BYTES_MAX)
services = words("._/:-", SERVICE_BYTES_MAX)
prefixes = words("._/:-", SERVICE_BYTES_MAX - 1)


@given(names)
def test_every_name_fits_a_length_byte(name: str) -> None:
    assert check_name(name) is name
    assert len(name.encode()) <= NAME_BYTES_MAX


@given(services)
def test_every_service_fits_a_length_byte(service: str) -> None:
    assert check_service(service) is service
    assert len(service.encode()) <= SERVICE_BYTES_MAX


@given(st.text(max_size=140))
@example("a\n")
@example("a\0")
@example("\N{FULLWIDTH LATIN SMALL LETTER A}")
@example("\N{ARABIC-INDIC DIGIT ONE}")
def test_any_text_is_accepted_or_a_config_error_of_one_line(text: str) -> None:
    for check in (check_name, check_service, check_pattern):
        try:
            result = check(text)
        except ConfigError as error:
            result = str(error)
            assert repr(text) in result
        else:
            assert result.isascii()
            assert " " not in result
        assert len(result.splitlines()) == 1
    assert is_service(text) == (text.isascii() and bool(text) and _accepted(text))


def _accepted(text: str) -> bool:
    return text[0] in FIRST and len(text) <= SERVICE_BYTES_MAX and not set(text) - set(FIRST + "._/:-")


@given(prefixes, services)
def test_pattern_without_a_star_matches_only_itself(pattern: str, service: str) -> None:
    check_pattern(pattern)
    assert matches((pattern,), pattern)
    assert matches((pattern,), service) == (pattern == service)
    for near in (pattern + "x", pattern[:-1], pattern.swapcase(), "x" + pattern):
        assert matches((pattern,), near) == (near == pattern)


@given(prefixes, services)
def test_pattern_with_a_star_matches_exactly_what_it_begins(prefix: str, service: str) -> None:
    pattern = check_pattern(prefix + "*")
    assert matches((pattern,), prefix)
    assert matches((pattern,), prefix + service)
    assert matches((pattern,), service) == service.startswith(prefix)


@given(services)
def test_star_matches_every_service(service: str) -> None:
    assert matches((check_pattern("*"),), service)


@given(services)
def test_no_pattern_matches_nothing(service: str) -> None:
    assert not matches((), service)


@given(st.lists(prefixes | prefixes.map("{}*".format), max_size=5), services)
def test_patterns_allow_what_any_of_them_allows(patterns: list[str], service: str) -> None:
    assert matches(tuple(patterns), service) == any(matches((pattern,), service) for pattern in patterns)


@given(words("._/:-", 60), words("._/:-", 60))
def test_star_stands_only_at_the_end(before: str, after: str) -> None:
    for wrong in (f"{before}*{after}", f"*{after}", f"{before}**"):
        with pytest.raises(ConfigError):
            check_pattern(wrong)
