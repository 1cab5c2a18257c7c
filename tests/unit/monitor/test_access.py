from itertools import count

import pytest

from braidmq.errors import ConfigError
from braidmq.monitor.access import (
    LOGIN_S,
    LOGINS_MAX,
    TOKEN_CHARS_MAX,
    TOKEN_CHARS_MIN,
    Access,
    check_host,
    check_token,
)

TOKEN = "a token of some length"


def access(token=TOKEN, *hosts):
    numbers = count()
    return Access(token, hosts, lambda: f"secret {next(numbers)}")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8088", "127.0.0.1", "localhost:8088", "LOCALHOST", "localhost.:80", "[::1]:8088", "10.1.2.3:9",
        "Monitor.Example.org", "monitor.example.org:443", "monitor.example.org.",
    ],
)  # fmt: skip
def test_addresses_and_names_that_were_told_are_known(host):
    assert access(TOKEN, "monitor.example.org").knows_host([host])


@pytest.mark.parametrize(
    "hosts",
    [
        [], [""], ["evil.example"], ["evil.example:8088"], ["127.0.0.1.evil.example"], ["localhost.evil.example:8088"],
        ["localhost", "localhost"], ["127.0.0.1", "evil.example"], ["user@localhost"], ["localhost:port"], ["[::1"],
        ["localhost/x"], ["localhost?x"], ["localhost#x"], ["2130706433.evil"], ["::1:8088:x"],
    ],
)  # fmt: skip
def test_other_names_are_not_as_a_page_may_have_made_them_lead_here(hosts):
    assert not access().knows_host(hosts)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8088", "127.0.0.1:8088"),
        ("http://localhost", "localhost:80"),
        ("https://monitor.example.org", "monitor.example.org"),
        ("https://monitor.example.org", "Monitor.Example.org:443"),
        ("http://[::1]:8088", "[::1]:8088"),
    ],
)
def test_a_page_of_the_same_host_and_port_is_its_own(origin, host):
    assert access().is_own(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "127.0.0.1:8088"),
        ("", "127.0.0.1:8088"),
        ("http://evil.example", "127.0.0.1:8088"),
        ("http://127.0.0.1:9000", "127.0.0.1:8088"),
        ("http://127.0.0.1", "127.0.0.1:8088"),
        ("http://127.0.0.1:8088.evil.example", "127.0.0.1:8088"),
        ("http://localhost:8088", "127.0.0.1:8088"),
        ("ftp://127.0.0.1:8088", "127.0.0.1:8088"),
        ("http://127.0.0.1:8088/x", "127.0.0.1:8088"),
        ("http://127.0.0.1:x", "127.0.0.1:8088"),
        ("http://[::1", "127.0.0.1:8088"),
    ],
)
def test_pages_of_others_are_not(origin, host):
    assert not access().is_own(origin, host)


def test_only_the_token_fits():
    assert access().fits(TOKEN)
    for other in ("", "x", TOKEN[:-1], f"{TOKEN} ", "ä" * 22):
        assert not access().fits(other)


def test_without_a_token_nothing_fits_and_everybody_may_read():
    assert not access(None).token_required
    assert not access(None).fits("")
    assert access().token_required


def test_a_login_lasts_until_its_end_or_until_somebody_logs_out():
    doors = access()
    first, second = doors.log_in(100.0), doors.log_in(100.0)
    assert doors.is_logged_in(first, 100.0)
    assert doors.is_logged_in(second, 100.0 + LOGIN_S - 1)
    assert not doors.is_logged_in(second, 100.0 + LOGIN_S)
    doors.log_out(first)
    doors.log_out("nobody")
    assert not doors.is_logged_in(first, 100.0)
    assert doors.is_logged_in(second, 100.0)
    assert not doors.is_logged_in("", 100.0)


def test_of_too_many_logins_the_first_one_goes():
    doors = access()
    secrets = [doors.log_in(100.0) for _ in range(LOGINS_MAX + 1)]
    assert [doors.is_logged_in(secret, 100.0) for secret in secrets] == [False] + [True] * LOGINS_MAX


def test_logins_that_have_ended_take_no_room():
    doors = access()
    for _ in range(LOGINS_MAX):
        doors.log_in(0.0)
    kept = doors.log_in(LOGIN_S + 1)
    for _ in range(LOGINS_MAX - 1):
        doors.log_in(LOGIN_S + 1)
    assert doors.is_logged_in(kept, LOGIN_S + 1)


@pytest.mark.parametrize(
    "token", ["", "short", "x" * (TOKEN_CHARS_MIN - 1), "x" * (TOKEN_CHARS_MAX + 1), "ä" * 20, "x" * 20 + "\x07"]
)
def test_what_is_no_token_is_refused_and_not_repeated(token):
    with pytest.raises(ConfigError, match=r"the token in F has to be of 16 to 512 printable") as error:
        check_token(token, "F")
    assert not token or token not in str(error.value)


def test_white_space_around_a_token_is_none_of_it():
    assert check_token(f" {TOKEN}\n", "F") == TOKEN


@pytest.mark.parametrize(
    "name", ["", "https://monitor", "monitor:8088", "mon itor", "monitor\n", ".", "-x", "a/b", "x" * 254]
)
def test_names_that_no_request_can_have_are_told(name):
    with pytest.raises(ConfigError, match="is no name of a host: write it alone"):
        check_host(name)


@pytest.mark.parametrize("name", ["monitor", "Monitor.Example.com.", "a_b-c.1"])
def test_names_of_hosts_are_taken_and_known(name):
    access = Access(None, (check_host(name),), lambda: "secret")
    assert access.knows_host([f"{name.lower()}:8088"])
