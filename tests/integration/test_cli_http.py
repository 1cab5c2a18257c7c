"""`braidmq bridge http` before real brokers and workers: kill -9, signals, certificates, what is wrong in its files."""

import hashlib
import json
import re
import signal
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPSConnection, RemoteDisconnected
from subprocess import PIPE

import pytest

from tests.support.nights import cases
from tests.support.processes import complaint, wait_until

SERVICES = """
import asyncio
from braidmq import Services

services = Services()


@services.service("echo", concurrency=64)
async def echo(request):
    await asyncio.sleep(0.02)
    return request.payload


@services.service("slow")
async def slow(request):
    print("it has begun", flush=True)
    await asyncio.to_thread(input)
    return b"late"


@services.service("who")
async def who(request):
    return f"{request.sender} {request.headers.get('via', '')}".encode()
"""


@pytest.fixture
def net(live, tmp_path):
    (tmp_path / "app.py").write_text(SERVICES)
    live.add_members("b1", "b2")
    live.add_node("gateway", calls=["*"])
    live.brokers = {name: live.broker(name) for name in ("b1", "b2")}
    live.worker = live.serve("app:services", cwd=tmp_path, talks=True)
    live.wait_for_workers("echo")
    return live


def gateway(net, *options, bind="127.0.0.1:0"):
    """Start the gateway; return its process and its port."""
    child = net.start("bridge", "http", "--join", net.join("gateway"), "--bind", bind, *options)
    line = child.wait_for_line("the HTTP gateway of gateway listens at ")
    port = re.search(r":(\d+)$", line.strip())
    assert port is not None
    return child, int(port[1])


def post(port, service, body=b"", **fields):
    """Call a service over a connection of its own; return status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", f"/services/{service}", body, {"Braid-Timeout": "30", **fields})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_call_is_answered_once_though_a_broker_is_killed(net):
    _, port = gateway(net)
    begun = threading.Semaphore(0)

    def call(number):
        begun.release()
        return post(port, "echo", b"%d" % number)

    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(call, number) for number in range(200)]
        for _ in range(100):
            begun.acquire()
        net.brokers["b1"].send_signal(signal.SIGKILL)
        answers = [each.result() for each in calls]
    assert answers == [(200, b"%d" % number) for number in range(200)]
    assert net.brokers["b1"].wait() == -signal.SIGKILL


@pytest.mark.nightly
def test_callers_hear_at_once_that_the_gateway_was_killed_and_go_on_with_the_next_one(net):
    child, port = gateway(net)
    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(post, port, "slow") for _ in range(20)]
        wait_until(lambda: _under_way(net, "slow") == 20, "all are under way")
        child.end(signal.SIGKILL)
        ends = [type(each.exception(timeout=30)) for each in calls]
    assert set(ends) <= {ConnectionResetError, RemoteDisconnected}
    command = ["curl", "-sS", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "-d", "14"]
    with subprocess.Popen([*command, f"http://127.0.0.1:{port}/services/echo"], stdout=PIPE, stderr=PIPE) as curl:
        assert curl.stderr is not None
        assert b"Failed to connect" in curl.stderr.readline()
        gateway(net, bind=f"127.0.0.1:{port}")
        assert curl.communicate(timeout=60)[0] == b"14"


def _under_way(net, service):
    return sum(each.outstanding + each.queued for each in (net.service(broker, service) for broker in net.brokers))


@pytest.mark.nightly
def test_sigterm_lets_calls_end(net):
    child, port = gateway(net)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(post, port, "slow")
        assert net.worker.hear() == "it has begun\n"
        child.send_signal(signal.SIGTERM)
        child.wait_for_line("the bridges are draining")
        wait_until(lambda: not _listens(port), "it takes no more connections")
        net.worker.tell("go on")
        assert call.result() == (200, b"late")
    assert child.wait() == 0


def _listens(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()
    return True


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def write(net, name, text):
    path = net.directory / name
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.nightly
def test_sighup_reads_callers_again(net):
    net.add_node("shop", calls=["who"])
    wait_until(lambda: net.run("call", "--join", net.join("shop"), "who").returncode == 0, "the shop is a member")
    write(net, "callers.toml", f'[shop]\ntokens_sha256 = ["{digest("one")}"]\n')
    config = write(net, "bridges.toml", '[http]\ncallers = "callers.toml"\n')
    child, port = gateway(net, "--config", config)
    assert post(port, "who", Authorization="Bearer one") == (200, b"gateway http:shop")
    write(net, "callers.toml", f'[shop]\ntokens_sha256 = ["{digest("two")}"]\njoin = "shop.braid"\n')
    child.send_signal(signal.SIGHUP)
    child.wait_for_line("has read its callers again")
    assert post(port, "who", Authorization="Bearer one")[0] == 401
    assert post(port, "who", Authorization="Bearer two") == (200, b"shop ")
    write(net, "callers.toml", "[shop]\ntoken = 3\n")
    child.send_signal(signal.SIGHUP)
    line = child.wait_for_line("goes on as before")
    assert "callers.toml, line 2, shop.token: there is no such key" in line
    assert post(port, "who", Authorization="Bearer two")[0] == 200


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def test_a_certificate_tells_who_calls(net):
    directory = net.directory
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    of_authority = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(
        directory, "req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", *of_authority
    )
    for name, extension in (("server", "DNS:localhost"), ("portal", "URI:spiffe://example.org/portal")):
        openssl(directory, "req", *ec, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (directory / "ext").write_text(f"subjectAltName={extension}\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext")
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    write(net, "callers.toml", '[portal]\ncertificates = ["spiffe://example.org/portal"]\n')
    config = write(
        net,
        "bridges.toml",
        '[http]\ncallers = "callers.toml"\ncertificate = "server.pem"\nkey = "server.key"\n'
        'client_authorities = "ca.pem"\n',
    )
    _, port = gateway(
        net, "--config", config, bind="0.0.0.0:0"
    )  # with TLS and callers it may listen for other machines
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    assert _who(port, context) == 401
    context.load_cert_chain(directory / "portal.pem", directory / "portal.key")
    assert _who(port, context) == b"gateway http:portal"


def _who(port, context):
    connection = HTTPSConnection("localhost", port, timeout=60, context=context)
    try:
        connection.request("POST", "/services/who", b"", {"Braid-Timeout": "30"})
        answer = connection.getresponse()
        body = answer.read()
        return body if answer.status == 200 else answer.status
    finally:
        connection.close()


@cases(
    ("table", "callers", "why"),
    [
        ("bnid = []", "", "bridges.toml, line 2, http.bnid: there is no such key"),
        ('content_types = {"a b" = "a/b"}', "", "'a b' cannot name a service"),
        ('callers = "callers.toml"', "[a]\n", "callers.toml, line 1, a: write tokens_sha256 or certificates"),
        ('callers = "callers.toml"', '["a b"]\ncertificates = ["x"]', "callers.toml, line 1, a b: a caller's name"),
        (
            'callers = "callers.toml"',
            '[a]\ncertificates = ["x"]\n[b]\ncertificates = ["x"]\n',
            "callers.toml, line 3, b: the same certificate is that of a",
        ),
        ('certificate = "bridges.toml"', "", "certificate and key, "),
        ('bind = ["0.0.0.0:0"]', "", "0.0.0.0:0 can be reached from other machines, and tokens and payloads"),
        ('bind = ["0.0.0.0:0"]\ninsecure_bind = true', "", "nobody needs a token there"),
        ("calls_per_caller = 0", "", "bridges.toml, line 2, http.calls_per_caller: expected `int` >= 1"),
        ('content_types = {"a" = "none"}', "", "bridges.toml, line 2, http.content_types.a: "),
        ('callers = "missing.toml"', "", "missing.toml"),
        ('callers = "callers.toml"', '\n[a]\ntokens_sha256 = ["secret"]', "callers.toml, line 3, a.tokens_sha256"),
        ('key = "server.key"', "", "write certificate, too"),
        ('certificate = "missing.pem"', "", "missing.pem: No such file or directory"),
        ('bind = ["tcp://127.0.0.1:1"]', "", "write HOST:PORT"),
    ],
    one_in=6,
)
def test_what_is_wrong_with_its_files_is_told(live, table, callers, why):
    live.add_members("b1")
    live.add_node("gateway", calls=["*"])
    config = write(live, "bridges.toml", f"[http]\n{table}\n")
    write(live, "callers.toml", callers)
    result = live.run("bridge", "--join", live.join("gateway"), "--config", config)
    line = complaint(result, result.returncode)
    assert result.returncode not in {0, 1}
    assert why in line
    assert "secret" not in line


@pytest.mark.nightly
def test_its_description_is_served(net):
    _, port = gateway(net)
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/openapi.json")
    assert json.load(connection.getresponse())["openapi"] == "3.1.0"
    connection.close()
