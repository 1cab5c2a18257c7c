import dataclasses

import pytest

from braidmq.errors import ConfigError
from braidmq.members import (
    NAME_BYTES_MAX,
    SERVICE_BYTES_MAX,
    Member,
    Role,
    check_name,
    check_pattern,
    check_service,
    is_service,
    matches,
)


class TestName:
    @pytest.mark.parametrize("name", ["a", "0", "broker-1", "Shop_2.eu", "a" * NAME_BYTES_MAX])
    def test_is_returned_when_good(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize(
        "name", ["", "-a", ".a", "_a", "a b", "a/b", "a:b", "a*", "ä", "a\n", "\na", "a\0", "a" * (NAME_BYTES_MAX + 1)]
    )
    def test_is_refused_in_one_line_when_bad(self, name: str) -> None:
        with pytest.raises(ConfigError, match="cannot name a member") as caught:
            check_name(name)
        assert repr(name) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


class TestService:
    @pytest.mark.parametrize("service", ["a", "9", "orders.place", "v1/orders:place", "a-b_c", "s" * SERVICE_BYTES_MAX])
    def test_is_returned_when_good(self, service: str) -> None:
        assert check_service(service) == service
        assert is_service(service)

    @pytest.mark.parametrize(
        "service", ["", "/a", ":a", "a b", "a*", "*", "ß", "a\n", "a\0b", "s" * (SERVICE_BYTES_MAX + 1)]
    )
    def test_is_refused_in_one_line_when_bad(self, service: str) -> None:
        assert not is_service(service)
        with pytest.raises(ConfigError, match="cannot name a service") as caught:
            check_service(service)
        assert len(str(caught.value).splitlines()) == 1


class TestPattern:
    @pytest.mark.parametrize("pattern", ["*", "a*", "orders.*", "orders.place", "v1/*", "p" * (SERVICE_BYTES_MAX - 1)])
    def test_is_returned_when_good(self, pattern: str) -> None:
        assert check_pattern(pattern) == pattern

    def test_may_be_the_longest_service(self) -> None:
        service = check_service("p" * SERVICE_BYTES_MAX)
        assert check_pattern(service) == service

    def test_may_be_the_longest_prefix(self) -> None:
        pattern = "p" * (SERVICE_BYTES_MAX - 1) + "*"
        assert check_pattern(pattern) == pattern

    @pytest.mark.parametrize(
        "pattern", ["", "**", "*a", "a**", "a*b", ".*", "a b*", "a*\n", "ä*", "p" * SERVICE_BYTES_MAX + "*"]
    )
    def test_is_refused_in_one_line_when_bad(self, pattern: str) -> None:
        with pytest.raises(ConfigError, match="is not a pattern") as caught:
            check_pattern(pattern)
        assert len(str(caught.value).splitlines()) == 1

    @pytest.mark.parametrize(
        ("patterns", "service", "allowed"),
        [
            ((), "orders", False),
            (("*",), "orders", True),
            (("orders",), "orders", True),
            (("orders",), "orders.place", False),
            (("orders",), "order", False),
            (("orders",), "Orders", False),
            (("orders.*",), "orders.place", True),
            (("orders.*",), "orders.", True),
            (("orders.*",), "orders", False),
            (("orders.*",), "ordersXplace", False),
            (("orders*",), "orders", True),
            (("a", "b*"), "bc", True),
            (("a", "b*"), "ac", False),
        ],
    )
    def test_decides(self, patterns: tuple[str, ...], service: str, allowed: bool) -> None:
        assert matches(patterns, service) is allowed


class TestMember:
    def test_may_do_nothing_by_default(self) -> None:
        member = Member("shop", Role.NODE)
        assert not member.may_call("echo")
        assert not member.may_serve("echo")
        assert not member.observe

    def test_may_call_and_serve_what_its_patterns_say(self) -> None:
        member = Member("shop", Role.NODE, calls=("orders.*",), serves=("shop",))
        assert member.may_call("orders.place")
        assert not member.may_call("shop")
        assert member.may_serve("shop")
        assert not member.may_serve("orders.place")

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Member("shop", Role.NODE).name = "other"

    def test_roles_are_written_as_words(self) -> None:
        assert [str(role) for role in Role] == ["broker", "node"]
