"""How a node comes to its brokers: a part of a large net, and addresses that DNS knows."""

import asyncio

import pytest

from braidmq import Node, NoWorker, Settings
from braidmq.lab.processes.ports import free_ports
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.dns_server import dns_server
from tests.support.nights import cases
from tests.support.processes import LiveNet, complaint, wait_until


def up(node):
    return {broker.name for broker in node.brokers if broker.state == "up"}


async def test_node_connects_to_some_brokers_of_a_large_net_and_finds_the_services_of_the_others():
    settings = Settings.test(brokers_connected_max=2, exchange_timeout_s=5.0)
    async with TestNet(8, settings=settings) as net:
        workers = [net.node(f"worker{number}", settings=settings) for number in range(6)]
        for number, worker in enumerate(workers):

            @worker.service(f"s{number}")
            async def handler(request, number=number):
                return b"%d" % number

            await worker.start()
            await until(lambda worker=worker: len(up(worker)) == 2)
        async with net.node("client", settings=settings) as client:
            await until(lambda: len(up(client)) == 2)
            assert len(client.brokers) == 8
            assert set.union(*map(up, workers)) - up(client), "somebody is not where the client is"
            for number in range(6):
                assert (await client.request(f"s{number}", timeout=10.0)).payload == b"%d" % number
            reached = up(client)
            assert all(reached & up(worker) for worker in workers)
            with pytest.raises(NoWorker):
                await client.request("nobody.has.this", timeout=10.0)


async def test_node_of_a_large_net_replaces_brokers_that_die():
    settings = Settings.test(brokers_connected_max=2)
    async with TestNet(5, settings=settings) as net, net.node("client", settings=settings) as client:
        await until(lambda: len(up(client)) == 2)
        first = up(client)
        for name in first:
            net.brokers[name].kill()
        await until(lambda: len(up(client)) == 2 and not up(client) & first)
        for name in first:
            net.brokers[name].restart()
        await until(lambda: up(client) == first)


@pytest.fixture
def net(tmp_path):
    with LiveNet(tmp_path) as net:
        yield net


@pytest.mark.nightly
def test_host_with_several_addresses_is_tried_address_by_address(net):
    """`localhost` is ::1 and 127.0.0.1 on most machines, and the broker listens at one of them only."""
    port = free_ports(1)[0]
    net.endpoints["b1"] = f"tcp://localhost:{port}"
    net.authority.add_broker("b1", [net.endpoints["b1"]])
    net.add_node("client", calls=["*"])
    net.add_node("worker", serves=["*"])
    net.broker("b1", "--bind", f"tcp://127.0.0.1:{port}")
    net.serve("--service", "s", "--exec", "cat")
    assert net.call("s", "hello", "--timeout", "20").stdout == b"hello"


def test_address_that_answers_is_used_although_another_one_does_not(net):
    """A private and a public address: from here only the second one leads to the broker."""
    port = free_ports(1)[0]
    net.endpoints["b1"] = f"tcp://127.0.0.1:{port}"
    net.authority.add_broker("b1", [f"tcp://127.0.0.1:{free_ports(1)[0]}", net.endpoints["b1"]])
    net.add_node("client", calls=["*"])
    net.add_node("worker", serves=["*"])
    net.broker("b1", "--bind", net.endpoints["b1"])
    net.serve("--service", "s", "--exec", "cat")
    assert net.call("s", "hello", "--timeout", "20").stdout == b"hello"


async def test_broker_is_found_by_its_srv_records(net, monkeypatch):
    resolver = pytest.importorskip("dns.resolver")
    port = free_ports(1)[0]
    net.authority.add_broker("b1", ["dns+srv://_braid._tcp.b1.example"])
    net.add_node("node", calls=["*"], serves=["*"])
    net.endpoints["b1"] = ""
    await asyncio.to_thread(net.broker, "b1", "--bind", f"tcp://127.0.0.1:{port}")
    zone = {"_braid._tcp.b1.example.": [f"1 5 {free_ports(1)[0]} localhost.", f"2 5 {port} localhost."]}
    with dns_server(zone) as dns_port:
        mine = resolver.Resolver(configure=False)
        mine.nameservers, mine.port = ["127.0.0.1"], dns_port
        monkeypatch.setattr(resolver, "default_resolver", mine)
        async with Node(net.join("node")) as node:
            await until(lambda: up(node) == {"b1"})


def test_broker_that_only_dns_knows_must_be_told_where_to_listen(net):
    path = net.authority.add_broker("b1", ["dns+srv://_braid._tcp.b1.example"])
    result = net.run("broker", "--join", str(path))
    assert result.returncode == 2
    assert b"--bind" in result.stderr
    assert result.stderr.count(b"\n") == 1


@pytest.mark.nightly
def test_host_that_has_no_address_is_told_once_and_harms_nothing(net):
    net.add_members("b1")
    net.authority.add_broker("b2", ["tcp://no-such-host.invalid:5555"])
    child = net.broker("b1")
    worker = net.serve("--service", "s", "--exec", "cat")
    net.wait_for_workers("s", "b1")
    assert net.call("s", "hello").stdout == b"hello"
    child.wait_for_line("no-such-host.invalid")
    worker.wait_for_line("no-such-host.invalid")

    def told():
        problems = {row.name: row.problem for row in net.report("b1").brokers}
        return problems["b2"] == "its host name has no address"

    wait_until(told, "an observer reads what is wrong with b2")
    assert child.log.count("no-such-host.invalid") == 1


@cases("state", [".", "no/such/directory/file", "x" * 300], one_in=2)
def test_state_file_that_could_never_be_written_is_refused(net, state):
    net.add_members("b1")
    line = complaint(net.call("s", "hello", "--state", state), 2)
    assert state[:20] in line
