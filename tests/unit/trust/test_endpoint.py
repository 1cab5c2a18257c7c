import pytest
from hypothesis import given
from hypothesis import strategies as st

from braidmq.errors import ConfigError
from braidmq.trust.endpoint import check_bind, check_endpoint, count_up

GOOD = [
    "tcp://localhost:1",
    "tcp://broker-1.example.com:65535",
    "tcp://broker_1:5550",
    "tcp://example.com.:5550",
    "tcp://3com.example:80",
    "tcp://127.0.0.1:5550",
    "tcp://[::1]:5550",
    "tcp://[2001:db8::5]:5550",
]
SERVICES = [
    "dns+srv://_braid._tcp.example.com",
    "dns+srv://_braid._tcp.example.com.",
    "dns+srv://brokers",
    "dns+srv://3com.example",
    "dns+srv://" + "a." * 126 + "b",
]
WILDCARDS = ["tcp://*:5550", "tcp://0.0.0.0:5550", "tcp://[::]:5550"]
BAD = {
    "": "tcp://",
    "localhost:5550": "tcp://",
    "ipc:/x": "tcp://",
    "TCP://h:1": "tcp://",
    "tcp://": "port",
    "tcp://h": "port",
    "tcp://[::1]": "port",
    "tcp://h:": "port",
    "tcp://h:x": "port",
    "tcp://h:0": "port",
    "tcp://h:65536": "port",
    "tcp://h:-1": "port",
    "tcp://h:*": "port",
    "tcp://h:٣": "port",
    "tcp://h:5550\n": "spaces",
    "tcp://h :5550": "spaces",
    " tcp://h:5550": "spaces",
    "tcp://:5550": "host",
    "tcp://a..b:5550": "host",
    "tcp://-a:5550": "host",
    "tcp://256.1.1.1:5550": "host",
    "tcp://1.2.3:5550": "host",
    "tcp://a.b/c:5550": "host",
    "tcp://a\0b:5550": "host",
    "tcp://ü:5550": "host",
    "tcp://[::g]:5550": "host",
    "tcp://[fe80::1%eth0]:5550": "host",
    "tcp://[]:5550": "host",
    "tcp://::1:5550": "brackets",
    "tcp://" + "a." * 200 + ":5550": "too long",
    "tcp://" + "a" * 64 + ":5550": "host",
    "tcp://" + "a." * 127 + ":5550": "host",
    "dns+srv://": "DNS name",
    "dns+srv://.": "DNS name",
    "dns+srv://a..b": "DNS name",
    "dns+srv://-a": "DNS name",
    "dns+srv://*": "DNS name",
    "dns+srv://127.0.0.1": "DNS name",
    "dns+srv://a.b/c": "DNS name",
    "dns+srv://a\0b": "DNS name",
    "dns+srv://ü": "DNS name",
    "dns+srv://" + "a" * 64: "DNS name",
    "dns+srv://" + "a." * 127: "DNS name",
    "dns+srv://" + "a." * 200: "too long",
    "dns+srv://h:5550": "remove the port",
    "dns+srv://[::1]": "remove the port",
    "dns+srv://h ": "spaces",
    "dns+srv://h\n": "spaces",
    "DNS+SRV://h": "tcp://",
    "dns+srv:h": "tcp://",
}


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_an_endpoint_and_can_be_bound(text):
    assert check_endpoint(text) == text
    assert check_bind(text) == text


@pytest.mark.parametrize("text", WILDCARDS)
def test_a_wildcard_can_be_bound_but_not_connected_to(text):
    assert check_bind(text) == text
    with pytest.raises(ConfigError, match="connect to"):
        check_endpoint(text)


@pytest.mark.parametrize("text", SERVICES)
def test_a_service_is_an_endpoint_that_cannot_be_bound(text):
    assert check_endpoint(text) == text
    with pytest.raises(ConfigError, match="name an address to listen on"):
        check_bind(text)


def test_a_unix_socket_can_be_bound_but_is_no_endpoint():
    for path in ("/x", "/run/user/1000/my broker.sock", "/" + "x" * 102):
        assert check_bind(f"ipc://{path}") == f"ipc://{path}"
        with pytest.raises(ConfigError, match="is not an endpoint"):
            check_endpoint(f"ipc://{path}")


@pytest.mark.parametrize("path", ["", "x", "@x", "\0x", "/", "/x/", "/x\0y"])
def test_a_path_is_from_the_root_and_names_a_file(path):
    with pytest.raises(ConfigError, match="write a path from the root") as raised:
        check_bind(f"ipc://{path}")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("path", ["/" + "x" * 103, "/" + "ü" * 52])
def test_a_path_is_no_longer_than_every_system_takes(path):
    with pytest.raises(ConfigError, match="at most 103 bytes"):
        check_bind(f"ipc://{path}")


@pytest.mark.parametrize("check", [check_endpoint, check_bind])
@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_anything_else_is_refused_with_its_reason_in_one_line(check, text, reason):
    with pytest.raises(ConfigError) as raised:
        check(text)
    assert reason in str(raised.value).replace(repr(text), "")
    assert len(str(raised.value).splitlines()) == 1


@given(
    st.one_of(
        st.text(),
        st.text().map("tcp://{}:1".format),
        st.text().map("dns+srv://{}".format),
        st.text().map("ipc:///{}".format),
        st.from_regex(r"tcp://[\[\]0-9a-f:.%*]*:[0-9]+"),
    )
)
def test_any_text_is_an_endpoint_or_a_config_error(text):
    for check in (check_endpoint, check_bind):
        complaint = ""
        try:
            assert check(text) == text
        except ConfigError as error:
            complaint = str(error)
        assert len(complaint.splitlines()) <= 1


@pytest.mark.parametrize("endpoint", ["tcp://h:5550", "tcp://[::1]:5550", "tcp://*:5550"])
def test_a_port_counts_up(endpoint):
    assert count_up(endpoint, 0) == endpoint
    assert count_up(endpoint, 12) == endpoint.replace("5550", "5562")


def test_a_port_does_not_count_up_beyond_the_highest_one():
    assert count_up("tcp://h:65530", 5) == "tcp://h:65535"
    with pytest.raises(ConfigError, match="cannot be counted up by 6: the highest one is 65535"):
        count_up("tcp://h:65530", 6)


@pytest.mark.parametrize("endpoint", ["dns+srv://_braid._tcp.example.com", "h:1", "tcp://h", "tcp://h:x"])
def test_what_has_no_port_does_not_count_up(endpoint):
    with pytest.raises(ConfigError):
        count_up(endpoint, 1)
