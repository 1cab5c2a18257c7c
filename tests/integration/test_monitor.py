"""`braidmq monitor` over real brokers and real sockets; most tests have the whole net in this process."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import urllib.request
from time import monotonic

import pytest

from braidmq.cli import run
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.monitor import TOKEN as TOKEN_VARIABLE
from braidmq.errors import AccessDenied, ConfigError, ServiceError
from braidmq.messages import Request
from braidmq.monitor.operations import Operations
from braidmq.monitor.trial import REPLY_CHARS_MAX, TRIALS_MAX, Busy, Paths, Trials
from braidmq.monitor.web import connection
from braidmq.monitor.web.connection import CONNECTIONS_MAX, Connection
from braidmq.monitor.web.server import Address, listen, serve
from braidmq.services import Services
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.processes import wait_until

TOKEN = "a token of some length"
HEAD = "Host: 127.0.0.1\r\n"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"

services = Services()


@services.service("echo")
async def echo(request: Request) -> bytes:
    if request.payload == b"fail":
        raise ServiceError("ODD", "no \x1b such thing")
    return request.payload


@services.service("stuck", concurrency=TRIALS_MAX)
async def stuck(_request: Request) -> bytes:
    await asyncio.Event().wait()
    return b""


class Monitor:
    """A monitor in this process."""

    def __init__(self, port, leaving, task, node):
        self.port = port
        self.leaving = leaving
        self.task = task
        self.node = node

    async def open(self):
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)

    async def ask(self, target, fields="", method="GET", body=b""):
        """Return status, fields and body of an answer."""
        reader, writer = await self.open()
        try:
            length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
            head = f"{method} {target} HTTP/1.1\r\n{HEAD}Connection: close\r\n{length}{fields}\r\n"
            writer.write(head.encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode().lower(), rest

    async def net(self):
        status, _, body = await self.ask("/api/net", BEARER)
        return json.loads(body) if status == 200 else None


@contextlib.asynccontextmanager
async def monitoring(net, token=TOKEN, call=("echo", "stuck", "gone")):
    paths = Paths()
    address = Address("127.0.0.1", 0, token=token)
    with listen(address) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # for answers that nobody reads
        port, leaving = listening.getsockname()[1], asyncio.Event()
        async with net.node("watcher", call=call, serve=(), observe=True, observer=paths) as node:
            task = asyncio.create_task(serve(node, paths, address, listening, leaving))
            monitor = Monitor(port, leaving, task, node)
            try:
                yield monitor
            finally:
                leaving.set()
                async with asyncio.timeout(20):
                    await task


async def test_the_net_is_told_and_a_killed_broker_is_named():
    async with TestNet(brokers=3) as net, net.node("worker", services=services), monitoring(net) as monitor:
        told = await until_well(monitor)
        assert [broker["name"] for broker in told["brokers"]] == ["b1", "b2", "b3"]
        assert {service["name"] for service in told["services"]} == {"echo", "stuck"}
        reader, writer = await monitor.open()
        writer.write(f"GET /api/stream HTTP/1.1\r\n{HEAD}{BEARER}\r\n".encode())
        net.brokers["b2"].kill()
        text = b""
        while b"b2 is dead" not in text or b"event: log" not in text:
            text += await reader.readuntil(b"\n\n")
        assert b"text/event-stream" in text
        assert b'"kind":"broker-dead"' in text
        status, kind, figures = await monitor.ask("/metrics", BEARER)
        assert (status, "text/plain" in kind) == (200, True)
        assert b'braidmq_net_findings{kind="broker-dead",wrong="true"} 1.0' in figures
        monitor.leaving.set()
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def test_a_test_call_tells_its_way_and_what_became_of_it():
    paths = Paths()
    async with TestNet(brokers=2) as net, net.node("worker", services=services):
        calls = ("echo", "stuck", "gone")
        async with net.node("watcher", call=calls, serve=(), observe=True, observer=paths) as node:
            trials = Trials(node, paths, asyncio.get_running_loop().time)
            await until(lambda: trials.callable() == {"echo", "stuck"})
            trial = await trials.make("echo", b"\x1bx" * REPLY_CHARS_MAX, 5.0)
            assert (trial.ok, trial.worker, trial.retry_count) == (True, "worker", 0)
            assert trial.reply.startswith("\\x1bx\\x1bx")
            assert trial.reply_bytes == 2 * REPLY_CHARS_MAX
            (attempt,) = trial.attempts
            assert (attempt.broker, attempt.outcome, attempt.reason) == (trial.broker, "answered", "")
            assert attempt.took_ms is not None
            assert 0.0 <= attempt.at_ms <= attempt.at_ms + attempt.took_ms <= trial.took_ms
            assert trial.text == f"worker has answered over {trial.broker} in {trial.took_ms:,.1f} ms"
            failed = await trials.make("echo", b"fail", 5.0)
            assert (failed.ok, failed.text) == (False, "the service answered with an error: ODD: no \\x1b such thing")
            assert [each.outcome for each in failed.attempts] == ["answered"]
            nobody = await trials.make("gone", b"", 5.0)
            assert not nobody.ok
            assert "gone" in nobody.text
            with pytest.raises(AccessDenied):
                await trials.make("other", b"", 5.0)
            with pytest.raises(ConfigError):
                await trials.make("no service", b"", 5.0)
            waiting = [asyncio.create_task(trials.make("stuck", b"", 0.5)) for _ in range(TRIALS_MAX)]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await trials.make("echo", b"", 5.0)
            for each in waiting:
                late = await each
                assert not late.ok
                assert late.attempts[0].broker in net.brokers
            assert (await trials.make("echo", b"x", 5.0)).reply == "x"


def connected(node):
    return bool(node.brokers) and all(each.state == "up" for each in node.brokers)


async def test_nodes_are_taken_out_and_brokers_drained_by_who_may_operate():
    async with (
        TestNet(brokers=2) as net,
        net.node("worker", services=services),
        net.node("watcher", call=["*"], operate=True) as node,
        net.node("blind", call=["*"]) as blind,
    ):
        operations = Operations(node)
        await until(lambda: "echo" in node.services_available() and connected(node) and connected(blind))
        assert (operations.allowed, Operations(blind).allowed) == (True, False)
        out = await operations.make("take_out", "worker")
        assert (out.ok, set(out.brokers)) == (True, {"b1", "b2"}), out
        assert out.text.startswith("worker is out: b1: ")
        assert (await operations.make("put_back", "worker")).ok
        nobody = await operations.make("take_out", "nobody")
        assert (nobody.ok, nobody.text.startswith("nobody is not out: ")) == (False, True)
        with pytest.raises(ConfigError, match="no broker is called 'b9'"):
            await operations.make("drain", "b9")
        with pytest.raises(AccessDenied, match="--operate"):
            await Operations(blind).make("take_out", "worker")
        drained = await operations.make("drain", "b2")
        assert drained.ok, drained
        assert drained.text.startswith("b2 drains: ")


async def test_hostile_requests_are_refused_and_the_monitor_goes_on():
    async with TestNet(brokers=1) as net, monitoring(net) as monitor:
        await until_well(monitor)
        for fields in ("", "Authorization: Bearer no\r\n", f"Cookie: braidmq_monitor_{monitor.port}=x\r\n"):
            assert (await monitor.ask("/api/net", fields))[0] == 401
        assert (await monitor.ask("/api/net", f"{BEARER}Origin: http://evil.example\r\n"))[0] == 403
        assert (await monitor.ask("/api/login", method="POST", body=b"x" * 100_000))[0] == 413
        reader, writer = await monitor.open()
        writer.write(f"GET /api/net HTTP/1.1\r\nHost: evil.example\r\n{BEARER}Connection: close\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
        writer.close()
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000,
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0",
        ):  # fmt: skip
            reader, writer = await monitor.open()
            writer.write(garbage)
            writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                answer = await reader.read()
                assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
            writer.close()
        assert (await monitor.ask("/livez"))[0] == 200


async def until_well(monitor):
    """Wait until the monitor has looked at the net and found it well; return what it tells."""
    give_up_at = monotonic() + 20
    while (told := await monitor.net()) is None or told["level"] != "well":
        assert monotonic() < give_up_at, told
        await asyncio.sleep(0.02)
    return told


async def test_connections_that_say_nothing_or_read_nothing_are_cut(monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_S_MAX", 0.3)
    monkeypatch.setattr(connection, "UNREAD_S_MAX", 0.3)
    lost, on_lost = [], Connection.connection_lost

    def note(self, exc):
        lost.append(self.client[1])
        on_lost(self, exc)

    monkeypatch.setattr(Connection, "connection_lost", note)
    async with TestNet(brokers=1) as net, monitoring(net) as monitor:
        await until_well(monitor)
        for begun in (b"", b"GET / HTT", b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{"):
            reader, writer = await monitor.open()
            writer.write(begun)
            assert await cut(reader), begun
            writer.close()
        with socket.create_connection(("127.0.0.1", monitor.port)) as deaf:
            asked = f"GET /metrics HTTP/1.1\r\n{HEAD}{BEARER}\r\n".encode()
            deaf.sendall(asked * 30)
            await until(lambda: deaf.getsockname()[1] in lost, 20.0)
        assert (await monitor.ask("/livez"))[0] == 200


async def cut(reader):
    """Whether a connection is ended, with no answer or after one."""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            await reader.read()
    return True


async def test_connections_are_bounded():
    async with TestNet(brokers=1) as net, monitoring(net) as monitor:
        await until_well(monitor)
        strangers = [await monitor.open() for _ in range(CONNECTIONS_MAX)]
        for _, writer in strangers[1:]:
            writer.write(f"GET /livez HTTP/1.1\r\n{HEAD}\r\n".encode())
        for reader, _ in strangers[1:]:
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert (await monitor.ask("/livez"))[0] == 200, "who waits makes room"
        assert await cut(strangers[0][0]), "it has waited longest"
        for _, writer in strangers:
            writer.close()


async def test_a_connection_that_is_answered_makes_no_room_for_others(monkeypatch):
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 2)
    async with TestNet(brokers=1) as net, monitoring(net) as monitor:
        await until_well(monitor)
        streams = [await monitor.open() for _ in range(2)]
        for reader, writer in streams:
            writer.write(f"GET /api/stream HTTP/1.1\r\n{HEAD}{BEARER}\r\n".encode())
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        stranger, writer = await monitor.open()
        assert await cut(stranger)
        writer.close()
        for reader, writer in streams:
            assert b"event: net" in await reader.readuntil(b"event: net")
            writer.close()


async def test_who_may_not_observe_is_told_so():
    async with TestNet(brokers=1) as net:
        paths, address = Paths(), Address("127.0.0.1", 0)
        async with net.node("blind", observer=paths) as node:
            with listen(address) as listening, pytest.raises(AccessDenied, match="--observe"):
                async with asyncio.timeout(20):
                    await serve(node, paths, address, listening, asyncio.Event())


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_a_token_it_listens_only_for_this_machine(host):
    with pytest.raises(ConfigError, match=r"can be reached from other machines: .*--token-file.*--guarded-by-proxy"):
        listen(Address(host, 0))
    for more in ({"token": TOKEN}, {"guarded": True}):
        with listen(Address("0.0.0.0", 0, **more)) as listening:
            assert listening.getsockname()[1]
    assert TOKEN not in repr(Address(host, 0, token=TOKEN))


def test_an_address_that_cannot_be_had_is_named():
    with listen(Address("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
            listen(Address("127.0.0.1", port))
    with pytest.raises(ConfigError, match=r"cannot listen at no\.such\.invalid:1: "):
        listen(Address("no.such.invalid", 1))
    with pytest.raises(ConfigError, match=r"cannot listen at no\.\.name:1: .*label empty"):
        listen(Address("no..name", 1))


def test_as_a_process_it_ends_in_order_and_hangs_without_harm(live, tmp_path):
    live.add_members("b1")
    live.broker("b1")
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    monitor = live.start("monitor", "--join", live.join("observer"), "--http", "127.0.0.1:0", "--token-file", token)
    line = monitor.wait_for_line("observer shows the net at http://127.0.0.1:")
    asked = urllib.request.Request(f"{line.split()[-1]}api/net", headers={"Authorization": f"Bearer {TOKEN}"})

    def health():
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return json.load(answer)["health"]
        except OSError:
            return ""

    wait_until(lambda: health().startswith("all is well: 1 broker (b1)"), "the monitor tells of the net")
    monitor.send_signal(signal.SIGSTOP)
    live.serve("--service", "echo", "--exec", "cat")
    live.wait_for_workers("echo")
    assert live.call("echo", "x").stdout == b"x"
    monitor.send_signal(signal.SIGCONT)
    monitor.send_signal(signal.SIGTERM)
    monitor.wait_for_line("the monitor has ended")
    assert monitor.wait() == 0


def test_what_is_wrong_with_its_options_is_one_line(live, tmp_path, capfd, monkeypatch):
    def complaint(*options):
        assert run(["monitor", *map(str, options)]) == ExitCode.USAGE
        (line,) = capfd.readouterr().err.splitlines()
        return line

    live.add_members("b1")
    public, join = tmp_path / "token", live.join("observer")
    public.write_text(TOKEN)
    public.chmod(0o644)
    for options, said in (
        (("--join", join, "--http", "8088"), "'8088' is no address to listen at: write HOST:PORT"),
        (("--join", join, "--http", "[::1:8088"), "'[::1:8088' is no address to listen at"),
        (("--join", join, "--http", "0.0.0.0:0"), "can be reached from other machines"),
        (("--join", join, "--token-file", public), f"chmod 600 {public}"),
        (("--join", tmp_path / "none"), "does not exist"),
        (("--join", live.join("b1")), "is a broker's"),
    ):
        assert said in complaint(*options)
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    said = complaint("--join", join)
    assert f"the token in ${TOKEN_VARIABLE} has to be of 16" in said
    assert "short" not in said
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert "leave one of them out" in complaint("--join", join, "--token-file", public)


def test_without_the_extra_it_says_what_to_install(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "braidmq.monitor.web.server", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("braidmq.monitor.web")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(["monitor", "--join", "x"]) == ExitCode.USAGE
    assert capfd.readouterr().err == "braidmq: the monitor needs uvicorn: pip install 'braidmq[monitor]'\n"
