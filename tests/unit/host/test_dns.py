import socket
import subprocess
import sys
from contextlib import ExitStack

import dns.name
import dns.resolver
import pytest

from braidmq.errors import BraidError
from braidmq.host import dns as module
from braidmq.host.dns import ADDRESSES_MAX, LOOKUP_S_MAX, ResolveError, is_address, resolve
from tests.support.dns_server import dns_server

SERVICE = "_braid._tcp.example."
ENDPOINT = "dns+srv://_braid._tcp.example"


@pytest.fixture(autouse=True)
def hosts(monkeypatch):
    """Return a table of hosts to fill, host: [sockaddr, ...]. Any other name but localhost has no address."""
    table = {}
    real = socket.getaddrinfo

    def look_up(host, port, **options):
        if host not in table:
            return real(host, port, flags=0 if host == "localhost" else socket.AI_NUMERICHOST, **options)
        families = {2: socket.AF_INET, 4: socket.AF_INET6}
        return [(families[len(address)], options["type"], 6, "", address) for address in table[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


@pytest.fixture
def serve(monkeypatch):
    """Return a function that starts a DNS server for a zone, and returns dnspython's resolver, which asks it."""
    with ExitStack() as servers:

        def start(zone):
            resolver = dns.resolver.Resolver(configure=False)
            resolver.nameservers = ["127.0.0.1"]
            resolver.port = servers.enter_context(dns_server(zone))
            monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
            return resolver

        yield start


def refusal(endpoint):
    with pytest.raises(ResolveError) as raised:
        resolve(endpoint)
    assert isinstance(raised.value, BraidError)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


# -- tcp://


def test_a_name_with_its_final_dot_is_looked_up_as_it_is_and_then_without(hosts):
    hosts["b1.example"] = [("10.0.0.1", 0)]
    assert resolve("tcp://b1.example.:5551") == ("tcp://10.0.0.1:5551",)
    hosts["b1.example."] = [("10.0.0.2", 0)]
    assert resolve("tcp://b1.example.:5551") == ("tcp://10.0.0.2:5551",)
    assert "b2.example. has no address" in refusal("tcp://b2.example.:5551")


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5550", "tcp://[::1]:5550", "tcp://[2001:db8::5]:1", "tcp://[fe80::1%eth0]:1"]
)
def test_an_address_is_its_own_endpoint(endpoint, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert is_address(endpoint)
    assert resolve(endpoint) == (endpoint,)


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://localhost:5550",
        "tcp://broker.example:5550",
        "tcp://1.2.3:5550",
        "tcp://::1:5550",
        "tcp://[127.0.0.1]:5550",
        "tcp://*:5550",
        "dns+srv://127.0.0.1:5550",
        "dns+srv://example",
        "tcp://[::1:5550",
        "127.0.0.1:5550",
        "",
    ],
)
def test_anything_else_is_no_address(endpoint):
    assert not is_address(endpoint)


def test_the_systems_own_names_are_looked_up():
    found = resolve("tcp://localhost:5550")
    assert found
    assert set(found) <= {"tcp://127.0.0.1:5550", "tcp://[::1]:5550"}


def test_a_name_stands_for_all_its_addresses_in_the_systems_order_without_doubles(hosts):
    hosts["broker.example"] = [
        ("10.0.0.9", 0),
        ("2001:db8::5", 0, 0, 0),
        ("10.0.0.1", 0),
        ("10.0.0.9", 0),
        ("fe80::1", 0, 0, 3),
    ]
    assert resolve("tcp://broker.example:5550") == (
        "tcp://10.0.0.9:5550",
        "tcp://[2001:db8::5]:5550",
        "tcp://10.0.0.1:5550",
        "tcp://[fe80::1%3]:5550",
    )


def test_a_name_has_a_bounded_number_of_addresses(hosts):
    hosts["broker.example"] = [(f"10.0.0.{number}", 0) for number in range(ADDRESSES_MAX + 1)]
    assert resolve("tcp://broker.example:1") == tuple(f"tcp://10.0.0.{number}:1" for number in range(ADDRESSES_MAX))


def test_a_name_without_an_address_is_named():
    assert "broker.example has no address" in refusal("tcp://broker.example:5550")


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_what_cannot_be_asked_for_is_no_name(host):
    assert "no name of a host" in refusal(f"tcp://{host}:5550")


@pytest.mark.parametrize("endpoint", ["", "ipc:///x", "DNS+SRV://example"])
def test_other_endpoints_are_refused(endpoint):
    assert "neither tcp:// nor dns+srv://" in refusal(endpoint)


# -- dns+srv://


def test_hosts_of_a_service_come_by_priority_then_by_weight(serve):
    serve(
        {
            SERVICE: [
                "20 9 5554 127.0.0.4.",
                "10 5 5552 127.0.0.2.",
                "10 50 5551 127.0.0.1.",
                "100 99 5555 127.0.0.5.",
                "10 0 5553 127.0.0.3.",
            ]
        }
    )
    assert resolve(ENDPOINT) == tuple(f"tcp://127.0.0.{number}:555{number}" for number in (1, 2, 3, 4, 5))


@pytest.mark.parametrize("turn", [1, -1])
def test_equal_records_come_in_one_order_however_dns_turns_them(serve, turn):
    serve({SERVICE: ["10 5 5551 127.0.0.1.", "10 5 5552 127.0.0.1.", "10 5 5550 127.0.0.2."][::turn]})
    assert resolve(ENDPOINT) == ("tcp://127.0.0.1:5551", "tcp://127.0.0.1:5552", "tcp://127.0.0.2:5550")


def test_each_host_of_a_service_stands_for_all_its_addresses_without_doubles(serve, hosts):
    hosts["a.example"] = [("10.0.0.2", 0), ("10.0.0.1", 0)]
    hosts["b.example"] = [("10.0.0.1", 0), ("10.0.0.3", 0)]
    serve({SERVICE: ["2 0 5550 b.example.", "1 0 5550 a.example.", "3 0 5550 ::1."]})
    assert resolve(ENDPOINT) == (
        "tcp://10.0.0.2:5550",
        "tcp://10.0.0.1:5550",
        "tcp://10.0.0.3:5550",
        "tcp://[::1]:5550",
    )


def test_the_systems_own_names_are_hosts_of_a_service_too(serve):
    serve({SERVICE: ["1 0 5550 localhost."]})
    assert resolve(ENDPOINT) == resolve("tcp://localhost:5550")


@pytest.mark.parametrize("bad", ["gone.example.", r"\001" * 20 + ".example.", "."])
def test_a_host_that_cannot_be_looked_up_does_not_spoil_the_others(serve, bad):
    serve({SERVICE: ["1 0 5550 127.0.0.1.", f"2 0 5550 {bad}", "3 0 5550 127.0.0.3."]})
    assert resolve(ENDPOINT) == ("tcp://127.0.0.1:5550", "tcp://127.0.0.3:5550")


def test_a_record_without_a_port_is_left_out(serve):
    serve({SERVICE: ["1 0 0 127.0.0.1.", "2 0 5550 127.0.0.2."]})
    assert resolve(ENDPOINT) == ("tcp://127.0.0.2:5550",)


def test_a_service_none_of_whose_hosts_has_an_address_says_so_of_the_best(serve):
    serve({SERVICE: ["2 0 5550 b.example.", "1 0 5550 a.example."]})
    assert "a.example has no address" in refusal(ENDPOINT)


@pytest.mark.parametrize("port", [0, 5550])
def test_a_service_that_is_closed_says_so(serve, port):
    serve({SERVICE: [f"0 0 {port} ."]})
    assert "not available" in refusal(ENDPOINT)


def test_a_name_that_does_not_exist_says_so(serve):
    serve({})
    assert "no such name" in refusal(ENDPOINT)


def test_a_name_without_srv_records_says_so(serve):
    serve({SERVICE: []})
    assert "no SRV records" in refusal(ENDPOINT)


def test_a_dns_server_that_fails_says_so(serve):
    serve({SERVICE: None})
    assert "SERVFAIL" in refusal(ENDPOINT)


@pytest.mark.parametrize("name", ["a..b", "a" * 64, "ü" * 64])
def test_what_dns_cannot_be_asked_for_is_refused(serve, name):
    serve({})
    assert f"dns+srv://{name}: " in refusal(f"dns+srv://{name}")


def test_a_services_name_is_complete(serve):
    resolver = serve({f"{SERVICE}other.example.": ["1 0 5550 127.0.0.1."]})
    resolver.search, resolver.use_search_by_default = [dns.name.from_text("other.example.")], True
    assert "no such name" in refusal(ENDPOINT)


@pytest.mark.timeout(20)
def test_a_dns_server_that_never_answers_is_given_up(serve, monkeypatch):
    resolver = serve(None)
    resolver.lifetime = resolver.timeout = 60.0
    monkeypatch.setattr(module, "LOOKUP_S_MAX", 0.05)
    assert "within 0.05 s" in refusal(ENDPOINT)


def test_a_service_has_a_bounded_number_of_addresses_and_no_host_is_asked_for_more(serve, hosts):
    class Unasked(list):
        def __iter__(self):
            pytest.fail("there were addresses enough")

    hosts["a.example"] = [(f"10.0.0.{number}", 0) for number in range(ADDRESSES_MAX - 1)]
    hosts["b.example"] = [("10.0.1.0", 0), ("10.0.1.1", 0)]
    hosts["c.example"] = Unasked()
    serve({SERVICE: ["1 0 5550 a.example.", "2 0 5550 b.example.", "3 0 5550 c.example."]})
    found = resolve(ENDPOINT)
    assert len(found) == len(set(found)) == ADDRESSES_MAX
    assert found[-1] == "tcp://10.0.1.0:5550"


def test_a_service_has_a_bounded_number_of_hosts(serve, monkeypatch):
    asked = []

    def look_up(host, *_arguments, **_options):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    serve({SERVICE: [f"{number} 0 5550 h{number}.example." for number in range(ADDRESSES_MAX + 1)]})
    assert "h0.example has no address (not known)" in refusal(ENDPOINT)
    assert asked == [f"h{number}.example" for number in range(ADDRESSES_MAX)]


@pytest.mark.parametrize(("lookup_s", "hosts_asked"), [(LOOKUP_S_MAX, 1), (LOOKUP_S_MAX / 2, 2)])
def test_no_further_host_is_looked_up_when_time_is_over(serve, hosts, monkeypatch, lookup_s, hosts_asked):
    now = 0.0

    class Slow(list):
        def __iter__(self):
            nonlocal now
            now += lookup_s
            return super().__iter__()

    for number in range(4):
        hosts[f"h{number}.example"] = Slow([(f"10.0.0.{number}", 0)])
    monkeypatch.setattr(module, "monotonic", lambda: now)
    serve({SERVICE: [f"{number} 0 5550 h{number}.example." for number in range(4)]})
    assert resolve(ENDPOINT) == tuple(f"tcp://10.0.0.{number}:5550" for number in range(hosts_asked))


def test_a_service_needs_dnspython(monkeypatch):
    monkeypatch.setitem(sys.modules, "dns", None)
    assert "braidmq[dns]" in refusal(ENDPOINT)
    assert resolve("tcp://localhost:5550")


def test_dnspython_is_not_imported_for_anything_else():
    program = (
        "import sys; from braidmq.host.dns import resolve; resolve('tcp://localhost:1'); print('dns' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "False\n"
