"""The HTTP gateway over real sockets, before a net in this process: curl, and callers that mean no good."""

import asyncio
import hashlib
import json
import logging
import os
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager

import msgspec
import pytest

from braidmq import ConfigError, ServiceError, Settings
from braidmq.bridges.http.bridge import HttpBridge, HttpOptions
from braidmq.bridges.kinds import Plan
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.http_peer import parsed, post
from tests.support.nights import cases

TOKEN = "a-token-of-the-shop"


class Scene:
    """A net of two brokers with the worker of some services, and the gateway before it."""

    def __init__(self, net, bridge):
        self.net = net
        self.bridge = bridge
        self.seen = []
        self.cancelled = asyncio.Event()
        self.hold = asyncio.Event()

    @property
    def url(self):
        host, port = self.bridge.addresses[0]
        return f"http://{host}:{port}"

    async def curl(self, path, *arguments, stdin=b""):
        """Run curl; return the last answer's status, its fields and its body."""
        curl = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--show-error", "--include", "--max-time", "30", *arguments, f"{self.url}{path}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaints = await curl.communicate(stdin)
        assert not complaints, complaints
        return parsed(out)[-1]

    async def connect(self):
        return await asyncio.open_connection(*self.bridge.addresses[0])

    async def ask(self, data):
        """Send bytes over a connection of their own; return all that comes until it ends."""
        reader, writer = await self.connect()
        writer.write(data)
        answer = await reader.read()
        writer.close()
        return parsed(answer)


def problem(answer):
    status, fields, body = answer
    assert fields["content-type"] == "application/problem+json"
    said = json.loads(body)
    assert said["status"] == status
    return status, said["type"].removeprefix("urn:braidmq:"), said["maybe_executed"]


def plan(net, **options):
    told = msgspec.convert({"bind": ["127.0.0.1:0"], **options}, HttpOptions)
    net.node("gateway", call=["pricing", "slow", "picky", "nothing"], serve=[])
    return Plan(told, net.join("gateway"), net.authority.directory, net.settings)


@asynccontextmanager
async def scene(*, settings=None, **options):
    async with TestNet(2, settings=settings) as net:
        worker = net.node("worker")
        it = Scene(net, HttpBridge(plan(net, **options)))

        @worker.service("pricing")
        async def pricing(request):
            it.seen.append(request)
            return b"42"

        @worker.service("slow")
        async def slow(request):
            it.seen.append(request)
            try:
                await it.hold.wait()
            except asyncio.CancelledError:
                it.cancelled.set()
                raise
            return b"late"

        @worker.service("picky")
        async def picky(request):
            raise ServiceError("INVALID_ARGUMENT", "not this one", {"at": 3})

        @worker.service("secret")
        async def secret(request):
            return b"nobody's business"

        async with worker:
            await it.bridge.start()
            try:
                await net.served("pricing")
                yield it
            finally:
                it.hold.set()
                await it.bridge.drain()
                await it.bridge.close()
        it.bridge.gateway.check()
        assert it.bridge.gateway.under_way == 0


# -- calls


async def test_curl_calls_a_service():
    async with scene(content_types={"pricing": "application/json"}) as it:
        fields = ("-H", "traceparent: 00-aa-bb-01", "-H", "Braid-Header-Tenant: acme", "-H", "Braid-Timeout: 9")
        status, told, body = await it.curl("/services/pricing", "-d", "14", *fields)
        assert (status, body, told["content-type"]) == (200, b"42", "application/json")
        (request,) = it.seen
        assert request.payload == b"14"
        assert request.sender == "gateway"
        assert request.headers["traceparent"] == "00-aa-bb-01"
        assert request.headers["tenant"] == "acme"
        assert 5.0 < request.remaining <= 9.0
        assert told["braid-worker"] == "worker"
        assert told["braid-broker"] == request.broker
        assert told["braid-request-id"] == request.id.hex()


async def test_a_payload_as_large_as_any_goes_through():
    async with scene() as it:
        payload = os.urandom(1024 * 1024)
        status, _, _ = await it.curl("/services/pricing", "--data-binary", "@-", stdin=payload)
        assert status == 200
        assert it.seen[0].payload == payload
        chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", "@-")
        assert (await it.curl("/services/pricing", *chunked, stdin=payload))[0] == 200
        assert it.seen[1].payload == payload


async def test_errors_tell_whether_the_call_may_have_been_run():
    async with scene() as it:
        answer = await it.curl("/services/nothing", "-d", "")
        assert problem(answer) == (503, "no-worker", False)
        assert answer[1]["retry-after"] == "1"
        assert problem(await it.curl("/services/secret", "-d", "")) == (403, "access-denied", False)
        late = await it.curl("/services/slow", "-d", "", "-H", "Braid-Timeout: 0.5")
        assert problem(late) == (504, "deadline-exceeded", True)
        large = await it.curl("/services/pricing", "--data-binary", "@-", stdin=bytes(2 * 1024 * 1024))
        assert problem(large) == (413, "payload-too-large", False)
        picky = await it.curl("/services/picky", "-d", "")
        assert problem(picky) == (400, "service-error", True)
        told = json.loads(picky[2])
        assert (told["code"], told["detail"], told["details"]) == ("INVALID_ARGUMENT", "not this one", {"at": 3})


async def test_without_brokers_it_answers_within_the_timeout():
    async with scene() as it:
        assert (await it.curl("/readyz"))[0] == 200
        for broker in it.net.brokers.values():
            broker.kill()
        await until(lambda: "no broker is up" in it.bridge._members.readiness)
        answer = await it.curl("/services/pricing", "-d", "", "-H", "Braid-Timeout: 0.5")
        assert problem(answer)[:2] == (503, "no-broker")
        assert (await it.curl("/readyz"))[0] == 503
        assert (await it.curl("/healthz"))[0] == 200


async def test_a_broker_that_dies_is_not_felt():
    async with scene() as it:
        answers = []

        async def call(number):
            if number == 100:
                it.net.brokers["b1"].kill()
            answers.append(await it.ask(post(b"%d" % number, close=True)))

        gate = asyncio.Semaphore(20)

        async def one(number):
            async with gate:
                await call(number)

        await asyncio.gather(*(one(number) for number in range(200)))
        assert [[status for status, _, _ in answer] for answer in answers] == [[200]] * 200
        assert {request.payload for request in it.seen} == {b"%d" % number for number in range(200)}
        assert it.net.brokers["b1"].state == "down"


async def test_a_repetition_with_a_key_gets_the_same_answer():
    async with scene() as it:
        key = ("-d", "14", "-H", 'Idempotency-Key: "order-1"')
        first = await it.curl("/services/pricing", *key)
        again = await it.curl("/services/pricing", *key)
        assert (first[0], again[0], first[2], again[2]) == (200, 200, b"42", b"42")
        assert again[1]["idempotency-replayed"] == "?1"
        assert again[1]["braid-request-id"] == first[1]["braid-request-id"]
        assert problem(await it.curl("/services/pricing", *key, "-d", "15"))[:2] == (422, "idempotency-key-reused")
        (request,) = it.seen
        assert request.headers["idempotency-key"] == "order-1"


async def test_a_repetition_of_what_may_have_been_run_says_so():
    async with scene() as it:
        key = ("-d", "14", "-H", 'Idempotency-Key: "order-2"')
        late = await it.curl("/services/slow", *key, "-H", "Braid-Timeout: 0.5")
        assert problem(late) == (504, "deadline-exceeded", True)
        await until(lambda: len(it.seen) == 1)
        it.hold.set()
        status, told, body = await it.curl("/services/slow", *key, "-H", "Braid-Timeout: 20")
        assert (status, body) == (200, b"late")
        assert told["braid-possible-duplicate"] == "?1"
        assert it.seen[-1].possible_duplicate


# -- callers that go, or never come to the point


async def test_a_hang_up_cancels_the_handler(caplog):
    caplog.set_level(logging.INFO, "braidmq.bridge")
    async with scene() as it:
        _, writer = await it.connect()
        writer.write(post(service="slow"))
        await until(lambda: len(it.seen) == 1)
        writer.close()
        async with asyncio.timeout(10):
            await it.cancelled.wait()
        assert it.bridge.gateway.counters["hang-ups"] == 1
    assert any(record.getMessage().startswith("499 127.0.0.1:") for record in caplog.records)


async def test_a_reset_is_a_hang_up_too():
    async with scene() as it:
        _, writer = await it.connect()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.write(post(service="slow"))
        await until(lambda: len(it.seen) == 1)
        writer.transport.abort()
        async with asyncio.timeout(10):
            await it.cancelled.wait()


@pytest.mark.parametrize("half", [b"POST /services/pri", post(b"half", length=1_000)])
async def test_half_a_request_is_cut(half):
    async with scene(request_s=0.2) as it:
        answers = await it.ask(half)
        assert [problem(answer)[:2] for answer in answers] == [(408, "request-timeout")]
        assert not it.seen


async def test_half_open_connections_make_room_for_others():
    async with scene(connections=8) as it:
        ends = [await it.connect() for _ in range(30)]
        for _, writer in ends:
            writer.write(b"POST /services/pricing HTTP/1.1\r\n")
        assert [status for status, _, _ in await it.ask(post(close=True))] == [200]
        assert it.bridge._server.connections <= 8
        for _, writer in ends:
            writer.close()


@pytest.fixture
def certificate(tmp_path):
    """A server's certificate, as options of a gateway, and a context that trusts it."""
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", *ec, *names, "-keyout", "server.key", "-out", "server.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "server.key").chmod(0o600)
    options = {"certificate": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}
    return options, ssl.create_default_context(cafile=options["certificate"])


async def to_the_end(reader):
    """Return all that comes until the gateway ends or cuts a connection."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_those_who_begin_no_handshake_have_places_and_make_room_for_others(certificate):
    options, trust = certificate
    async with scene(connections=8, **options) as it:
        server = it.bridge._server
        silent = [await it.connect() for _ in range(30)]
        for reader, _ in silent[:22]:
            assert not await to_the_end(reader), "the oldest are cut"
        assert server.connections == 8
        reader, writer = await asyncio.open_connection(*it.bridge.addresses[0], ssl=trust, server_hostname="localhost")
        writer.write(post())
        assert (await reader.readuntil(b"42")).startswith(b"HTTP/1.1 200 ")
        assert server.connections == 8, "an end of a handshake makes no second connection"
        writer.close()
        silent[-1][1].write(post())
        assert b"HTTP" not in await to_the_end(silent[-1][0]), "who speaks no TLS is cut"
        for _, each in silent:
            each.close()
        await until(lambda: server.connections == 0)


async def test_a_request_may_come_with_the_end_of_the_handshake(certificate):
    """As one segment: the gateway reads both in one turn of its event loop."""
    options, trust = certificate
    async with scene(**options) as it:
        reader, writer = await it.connect()
        read, write = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trust.wrap_bio(read, write, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(write.read())
                read.write(await reader.read(65_536))
        tls.write(post())
        writer.write(write.read())
        answer = b""
        while not answer.endswith(b"42"):
            try:
                answer += tls.read()
            except ssl.SSLWantReadError:
                read.write(await reader.read(65_536))
        assert answer.startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_handshakes_do_not_hold_up_a_drain(certificate):
    options, _ = certificate
    async with scene(**options) as it:
        reader, writer = await it.connect()
        await until(lambda: it.bridge._server.connections == 1)
        await it.bridge.drain()
        assert await reader.read() == b""
        writer.close()


async def test_calls_under_way_are_not_cut_for_new_connections():
    async with scene(connections=2) as it:
        waiting = [await it.connect() for _ in range(2)]
        for _, writer in waiting:
            writer.write(post(service="slow", close=True))
        await until(lambda: len(it.seen) == 2)
        assert [problem(answer)[:2] for answer in await it.ask(b"")] == [(503, "too-many-connections")]
        it.hold.set()
        for reader, writer in waiting:
            assert parsed(await reader.read())[0][2] == b"late"
            writer.close()


@cases(
    ("sent", "said"),
    [
        (post(fields=["Braid-Timeout: -1"], close=True), (400, "bad-header", False)),
        (post(fields=['Idempotency-Key: "a"', 'Idempotency-Key: "b"'], close=True), (400, "bad-header", False)),
        (post(service="%2e%2e/x", close=True), (404, "no-service-name", False)),
        (post(fields=["Origin: http://evil.example"], close=True), (403, "foreign-page", False)),
        (post(close=True).replace(b"Host: localhost", b"Host: evil.example"), (403, "foreign-page", False)),
        (b"\x16\x03\x01" + bytes(500), (400, "malformed", False)),
        (post(b"x" * 2_000_000), (413, "payload-too-large", False)),
    ],
    one_in=2,
)
async def test_bad_input_costs_nobody_anything(sent, said):
    async with scene() as it:
        assert [problem(answer) for answer in await it.ask(sent)] == [said]
        assert [status for status, _, _ in await it.ask(post(close=True))] == [200]
        assert len(it.seen) == 1


# -- callers with a name


def callers_file(net, text):
    path = net.authority.directory / "callers.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


@asynccontextmanager
async def scene_with_callers(**options):
    """The shop has a member of its own, which may call `secret` only; the portal calls as the gateway."""
    async with TestNet(1) as net:
        net.node("shop", call=["secret"], serve=[])
        worker = net.node("worker")
        seen = []

        @worker.service("secret")
        @worker.service("pricing")
        async def echo(request):
            seen.append(request)
            return request.payload

        text = f"""
            [shop]
            tokens_sha256 = ["{digest(TOKEN)}"]
            join = "{net.join("shop").name}"

            [portal]
            tokens_sha256 = ["{digest("of-the-portal")}", "{digest("of-the-portal-next-month")}"]
            """
        callers_file(net, text)
        it = Scene(net, HttpBridge(plan(net, callers="callers.toml", **options)))
        it.seen = seen
        async with worker:
            await it.bridge.start()
            try:
                await net.served("pricing")
                yield it
            finally:
                await it.bridge.drain()
                await it.bridge.close()


def bearer(token):
    return ("-d", "14", "-H", f"Authorization: Bearer {token}")


async def test_a_token_is_a_member_with_rights_of_its_own():
    async with scene_with_callers() as it:
        assert (await it.curl("/services/secret", *bearer(TOKEN)))[0] == 200
        assert problem(await it.curl("/services/pricing", *bearer(TOKEN)))[:2] == (403, "access-denied")
        assert (await it.curl("/services/pricing", *bearer("of-the-portal")))[0] == 200
        assert (await it.curl("/services/pricing", *bearer("of-the-portal-next-month")))[0] == 200
        shop, portal, _ = it.seen
        assert (shop.sender, "via" in shop.headers) == ("shop", False)
        assert (portal.sender, portal.headers["via"]) == ("gateway", "http:portal")


async def test_who_has_no_valid_token_is_refused_and_only_its_address_is_told(caplog):
    async with scene_with_callers() as it:
        answer = await it.curl("/services/pricing", *bearer("guessed-token"))
        assert problem(answer) == (401, "unauthenticated", False)
        assert answer[1]["www-authenticate"].startswith("Bearer ")
        assert problem(await it.curl("/services/pricing", "-d", "14"))[:2] == (401, "unauthenticated")
        assert not it.seen
    lines = [record.getMessage() for record in caplog.records if record.name == "braidmq.bridge"]
    assert [line.partition(" has ")[2] for line in lines] == ["no valid token"] * 2
    assert "guessed" not in caplog.text


async def test_callers_change_while_it_runs(caplog):
    async with scene_with_callers() as it:
        path = callers_file(it.net, f'[new]\ntokens_sha256 = ["{digest("new-token")}"]\n')
        it.bridge.reload()
        await it.bridge._reading
        assert (await it.curl("/services/pricing", *bearer("new-token")))[0] == 200
        assert (await it.curl("/services/secret", *bearer(TOKEN)))[0] == 401
        path.write_text("[new]\nsecret = 1\n")
        it.bridge.reload()
        await it.bridge._reading
        assert (await it.curl("/services/pricing", *bearer("new-token")))[0] == 200
    assert "line 2, new.secret: there is no such key" in caplog.text


async def test_callers_that_change_while_they_are_read_are_read_once_more(monkeypatch):
    async with scene_with_callers() as it:
        reading, go_on = asyncio.Event(), asyncio.Event()
        extend = it.bridge._members.extend

        async def slow(joins):
            reading.set()
            await go_on.wait()
            await extend(joins)

        monkeypatch.setattr(it.bridge._members, "extend", slow)
        it.bridge.reload()
        await reading.wait()
        callers_file(it.net, f'[new]\ntokens_sha256 = ["{digest("new-token")}"]\n')
        it.bridge.reload()
        go_on.set()
        await it.bridge._reading
        assert (await it.curl("/services/secret", *bearer(TOKEN)))[0] == 401, "it was taken back"
        assert (await it.curl("/services/pricing", *bearer("new-token")))[0] == 200


async def test_a_caller_that_floods_gets_its_share_only():
    async with scene(calls_per_caller=4) as it:
        waiting = [await it.connect() for _ in range(4)]
        for _, writer in waiting:
            writer.write(post(service="slow", close=True))
        await until(lambda: len(it.seen) == 4)
        answer = (await it.ask(post(close=True)))[0]
        assert problem(answer) == (429, "too-many-calls", False)
        assert answer[1]["retry-after"] == "1"
        it.hold.set()
        for reader, writer in waiting:
            assert parsed(await reader.read())[0][0] == 200
            writer.close()
        assert [status for status, _, _ in await it.ask(post(close=True))] == [200]


# -- its end


async def test_what_is_under_way_is_answered_before_it_ends():
    async with scene() as it:
        reader, writer = await it.connect()
        writer.write(post(service="slow"))
        await until(lambda: len(it.seen) == 1)
        idle_reader, idle_writer = await it.connect()
        address = it.bridge.addresses[0]
        drained = asyncio.create_task(it.bridge.drain())
        assert await idle_reader.read() == b""
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection(*address)
        it.hold.set()
        (answer,) = parsed(await reader.read())
        assert (answer[0], answer[1]["connection"], answer[2]) == (200, "close", b"late")
        await drained
        for each in (writer, idle_writer):
            each.close()


# -- where it may listen


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "tokens and payloads can be read on the way"),
        ({"insecure_bind": True}, "nobody needs a token there"),
        ({"anonymous": True}, "tokens and payloads can be read on the way"),
        ({"callers": "callers.toml"}, "tokens and payloads can be read on the way"),
        ({"callers": "callers.toml", "insecure_bind": True}, ""),
        ({"anonymous": True, "insecure_bind": True}, ""),
    ],
)
@pytest.mark.parametrize("bind", ["0.0.0.0:0", "*:0"])
async def test_it_does_not_listen_for_other_machines_by_mistake(options, why, bind):
    async with TestNet(1) as net:
        callers_file(net, f'[portal]\ntokens_sha256 = ["{digest("t")}"]\n')
        bridge = HttpBridge(plan(net, **{"bind": [bind], **options}))
        try:
            if why:
                with pytest.raises(ConfigError, match=why):
                    await bridge.start()
                assert not bridge.addresses
            else:
                await bridge.start()
                assert bridge.addresses
        finally:
            await bridge.close()


@pytest.mark.parametrize(
    "bind", ["8080", "localhost", "::1:8080", "[127.0.0.1]:80", "127.0.0.1:http", "h:65536", ":80", f"h:{'9' * 5_000}"]
)
async def test_an_address_that_is_none_is_told(bind):
    async with TestNet(1) as net:
        with pytest.raises(ConfigError, match="write HOST:PORT"):
            HttpBridge(plan(net, bind=[bind]))


async def test_a_name_that_no_host_can_have_is_told():
    async with TestNet(1) as net:
        for host in ("no..name", "a" * 300):
            bridge = HttpBridge(plan(net, bind=[f"{host}:80"]))
            with pytest.raises(ConfigError, match=f"cannot listen at {host}:80: .*label"):
                await bridge.start()


@pytest.mark.parametrize(
    "options", [{"certificate": "a\0b"}, {"certificate": __file__, "key": "a\0b"}, {"certificate": "."}]
)
async def test_a_path_that_is_none_is_told(options):
    async with TestNet(1) as net:
        with pytest.raises(ConfigError, match="certificate and key, "):
            HttpBridge(plan(net, **options))


async def test_an_address_that_is_taken_is_told():
    async with scene() as it:
        host, port = it.bridge.addresses[0]
        bridge = HttpBridge(plan(it.net, bind=[f"{host}:{port}"]))
        with pytest.raises(ConfigError, match=f"cannot listen at {host}:{port}"):
            await bridge.start()


async def test_settings_of_the_net_bound_it():
    async with scene(settings=Settings.test(payload_bytes_max=2_048, timeout_s=0.3)) as it:
        patient = ("-H", "Braid-Timeout: 20")
        assert (await it.curl("/services/pricing", "-d", "x" * 2_048, *patient))[0] == 200
        assert problem(await it.curl("/services/pricing", "-d", "x" * 2_049, *patient))[0] == 413
        assert problem(await it.curl("/services/slow", "-d", ""))[:2] == (504, "deadline-exceeded")
