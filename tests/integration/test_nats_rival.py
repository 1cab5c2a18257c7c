"""The rival of the comparison: a NATS cluster under load, a server of which is killed. Nothing may be glossed over.

What is asserted is the honesty of the figures, not that NATS loses requests: how many it loses differs each time.
"""

import asyncio
import signal
import socket
import ssl
import subprocess
from collections import Counter
from contextlib import contextmanager
from importlib import import_module
from time import monotonic

import msgspec
import pytest

from braidmq import Settings
from braidmq.lab.bench.systems.nats import QUEUE, SUBJECT, missing
from braidmq.lab.simulation.checkers import ends_once
from braidmq.lab.simulation.payload import answer_to, payload_of
from braidmq.lab.simulation.record import Call, Error, Execution, Record, Reply
from faults.nats_cluster import NatsCluster
from tests.support.async_tests import until
from tests.support.processes import environment

if reason := missing(tls=False):
    pytest.skip(reason, allow_module_level=True)

nats_caller = import_module("faults.nats_caller")
nats_worker = import_module("faults.nats_worker")

CALLS = 200
CLIENTS = 4
AT_A_TIME = 5
"""Calls of each client."""

WORK_S = 0.01
TIMEOUT_S = 2.0
WORKERS = ("w1", "w2")


@contextmanager
def workers(cluster, record):
    """Start the workers and wait until they serve; end them by SIGTERM, which lets them finish."""
    commands = [nats_worker.command(cluster, name, record, work_s=WORK_S) for name in WORKERS]
    running = [subprocess.Popen(each, cwd=nats_worker.ROOT, env=environment()) for each in commands]
    try:
        cluster.wait_for_workers(len(WORKERS))
        yield
        for process in running:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=10) for process in running] == [0] * len(running)
    finally:
        for process in running:
            process.kill()
            process.wait()


async def load(callers, on_half):
    """Make CALLS calls, and call `on_half` when half of them have ended; return their records."""
    calls, numbers = [], iter(range(CALLS))

    async def run(caller, client):
        for number in numbers:
            call = Call(f"k{number}", client, monotonic(), monotonic() + TIMEOUT_S, attempts_max=3)
            calls.append(call)
            outcome = await caller.call(call.key, payload_of(call.key, 4096), TIMEOUT_S)
            call.ends.append((monotonic(), outcome))

    running = [
        asyncio.ensure_future(run(caller, f"c{number}"))
        for number, caller in enumerate(callers)
        for _ in range(AT_A_TIME)
    ]
    await until(lambda: sum(bool(call.ends) for call in calls) >= CALLS // 2)
    on_half()
    await asyncio.gather(*running)
    return calls


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("variant", "tls"),
    [("plain", False), pytest.param("retrying", True, marks=pytest.mark.nightly)],
    ids=["plain", "retrying-tls"],
)
async def test_every_call_ends_and_is_counted_when_a_server_is_killed(tmp_path, variant, tls):
    if reason := missing(tls=tls):
        pytest.skip(reason)
    record = tmp_path / "executions"
    connect = getattr(nats_caller, variant)
    with NatsCluster(tmp_path / "nats", tls=tls) as cluster, workers(cluster, record):
        async with connect([nats_caller.address(cluster, f"c{number}") for number in range(CLIENTS)]) as callers:
            connection = callers[0].connection
            victim = next(name for name, url in cluster.urls.items() if url == connection.url)
            calls = await load(callers, lambda: cluster.kill(victim))
            await until(lambda: connection.reconnects and connection.client.is_connected)
            assert connection.url != cluster.urls[victim]
        cluster.restart(victim)
        cluster.wait_for_workers(len(WORKERS))
        back = await nats_caller.connect([cluster.urls[victim]], "c", tls=cluster.tls)
        outcome = await nats_caller.PlainCaller(back).call("back", payload_of("back"), TIMEOUT_S)
        assert isinstance(outcome, Reply), outcome
        await back.close()
    ran = Counter(msgspec.json.decode(line, type=Execution).key for line in record.read_bytes().splitlines())

    assert len(calls) == CALLS
    assert ends_once.check(Record(calls=calls)) == []
    for call in calls:
        outcome = call.outcome
        if isinstance(outcome, Reply):
            assert outcome.key == call.key
            assert 1 <= ran[call.key] <= 1 + outcome.retry_count
            assert outcome.possible_duplicate or ran[call.key] == 1
        else:
            assert isinstance(outcome, Error)
            assert ran[call.key] <= outcome.attempts
            assert outcome.maybe_executed or not ran[call.key]
        if variant == "plain":
            assert ran[call.key] <= 1, "nothing in NATS sends a request twice"
    assert sum(isinstance(call.outcome, Reply) for call in calls) >= CALLS // 2
    assert set(ran) <= {call.key for call in calls} | {"back"}


async def test_each_variant_does_and_tells_what_its_name_says(tmp_path):
    """Without a worker nothing was run, and nobody waits; with one that answers only a second copy, perhaps it was."""
    with NatsCluster(tmp_path) as cluster:
        connection = await nats_caller.connect(cluster.urls.values(), "client")
        plain = nats_caller.PlainCaller(connection)
        retrying = nats_caller.RetryingCaller(connection, Settings.test())

        async def outcomes(key):
            return [await each.call(key, payload_of(key), TIMEOUT_S) for each in (plain, retrying)]

        ends = [(each.kind, each.attempts, each.maybe_executed) for each in await outcomes("k")]
        assert ends == [("NoRespondersError", 1, False), ("NoRespondersError", Settings.test().attempts, False)]

        came = Counter()

        async def answer_the_second(message):
            came[message.data] += 1
            if came[message.data] == 2:
                await message.respond(answer_to(message.data))

        await connection.client.subscribe(SUBJECT, queue=QUEUE, cb=answer_the_second)
        error = await plain.call("k1", payload_of("k1"), Settings.test().exchange_timeout_s)
        assert (error.kind, error.attempts, error.maybe_executed) == ("TimeoutError", 1, True)
        reply = await retrying.call("k2", payload_of("k2"), TIMEOUT_S)
        assert (reply.key, reply.retry_count, reply.possible_duplicate) == ("k2", 1, True)
        await connection.close()


def test_with_tls_nobody_gets_in_without_a_certificate(tmp_path):
    """Neither as a client nor as a server: CURVE, which it stands beside, encrypts both and knows every key."""
    if reason := missing(tls=True):
        pytest.skip(reason)
    with NatsCluster(tmp_path, tls=True) as cluster:
        server = cluster._servers["n1"]
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        for port, says_so_first in ((server.client_port, True), (server.route_port, False)):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                assert not says_so_first or b'"tls_required":true' in plain.recv(4096)
                with (
                    context.wrap_socket(plain, server_hostname="127.0.0.1") as stranger,
                    pytest.raises(ssl.SSLError, match="certificate required"),
                ):
                    stranger.recv(1)
