"""`braidmq status` against real brokers."""

import shutil

import pytest

from braidmq.trust.authority import Authority
from processes import complaint, loaded


@pytest.fixture
def net(live):
    live.add_members("b1", "b2")
    return live


def status(net, *options, name="observer"):
    return net.run("status", "--join", net.join(name), *options)


def start_all(net):
    for name in ("b1", "b2"):
        net.broker(name)
    net.serve("--service", "echo", "--exec", "cat", "--concurrency", "8")
    net.wait_for_workers("echo")


def test_json_tells_of_every_broker_and_what_it_knows(net):
    start_all(net)
    assert net.call("echo", "hello", "--via", "b1").stdout == b"hello"
    told = loaded(status(net, "--json"))
    assert told["node"] == "observer"
    assert [broker["name"] for broker in told["brokers"]] == ["b1", "b2"]
    for broker in told["brokers"]:
        report = broker["report"]
        assert (broker["link"], broker["problem"]) == ("up", None)
        assert broker["endpoints"] == [net.endpoints[broker["name"]]]
        assert report["state"] == "up"
        assert report["uptime_s"] > 0
        assert report["software"].startswith("braidmq ")
        assert [peer["name"] for peer in report["brokers"]] == [{"b1": "b2", "b2": "b1"}[broker["name"]]]
        assert (report["nodes_total"], report["services_total"]) == (len(report["nodes"]), 1)
        nodes = {node["name"]: node for node in report["nodes"]}
        assert {"worker", "observer"} <= set(nodes)
        assert (nodes["worker"]["serves"], nodes["observer"]["serves"]) == (["echo"], [])
        (service,) = report["services"]
        assert (service["name"], service["workers"], service["outstanding"], service["queued"]) == ("echo", 1, 0, 0)
        assert service["credit"] > 0
    assert [broker["report"]["counters"]["replies"] for broker in told["brokers"]] == [1, 0]


def test_the_tables_name_every_broker_node_and_service(net):
    start_all(net)
    result = status(net)
    assert (result.returncode, result.stderr) == (0, b"")
    text = result.stdout.decode()
    for name in ("b1", "b2"):
        assert f"{name} at {net.endpoints[name]}: up, for " in text
    assert text.count("\n  worker ") == 2
    assert text.count("\n  echo ") == 2
    assert "requests 0" in text


def test_a_broker_that_is_not_there_is_shown_with_the_reason(net):
    net.broker("b1")
    result = status(net)
    assert (result.returncode, result.stderr) == (0, b"")
    assert f"b2 at {net.endpoints['b2']}: nothing answers there\n".encode() in result.stdout
    down = loaded(status(net, "--json"))["brokers"][1]
    assert (down["name"], down["problem"], down["report"]) == ("b2", "nothing answers there", None)


def test_without_a_broker_it_is_exit_code_5_with_every_reason(net):
    result = status(net)
    assert result.returncode == 5
    line = result.stderr.decode()
    assert line.count("\n") == 1
    assert line.startswith("braidmq: no broker could be reached: ")
    for name in ("b1", "b2"):
        assert f"{name} at {net.endpoints[name]}: nothing answers there" in line
        assert f"{name} at {net.endpoints[name]}: nothing answers there\n" in result.stdout.decode()


def test_a_broker_with_another_key_is_shown_with_the_reason(net, tmp_path):
    others = Authority.create(tmp_path / "others")
    impostor = others.add_broker("b1", [net.endpoints["b1"]])
    net.start("broker", "--join", impostor).wait_for_line("listens at")
    result = status(net)
    assert result.returncode == 5
    assert "b1 at " + net.endpoints["b1"] + ": what answers there does not hold this broker's key" in (
        result.stderr.decode()
    )


def test_a_node_that_may_not_observe_is_exit_code_6_and_is_told_how(net):
    net.broker("b1")
    net.broker("b2")
    result = status(net, name="client")
    assert result.returncode == 6
    assert result.stderr.count(b"\n") == 1
    assert b"client may not observe the net" in result.stderr
    assert b"braidmq add node NAME --net DIR --observe" in result.stderr


def test_a_member_that_is_not_registered_is_exit_code_6(net, tmp_path):
    net.broker("b1")
    net.broker("b2")
    shutil.copytree(net.directory, tmp_path / "copy")
    stranger = Authority.open(tmp_path / "copy").add_node("stranger", observe=True)
    result = net.run("status", "--join", stranger)
    assert result.returncode == 6
    assert b"every broker refuses this node's key: b1 at " in result.stderr


def test_a_net_without_brokers_is_exit_code_5(live):
    live.add_node("observer", observe=True)
    assert "names no broker" in complaint(status(live), 5)


def test_a_wrong_join_file_is_exit_code_2(net, tmp_path):
    assert "a node needs one made by" in complaint(status(net, name="b1"), 2)
    assert "does not exist" in complaint(net.run("status", "--join", tmp_path / "nothing"), 2)
    assert "BRAIDMQ_JOIN" in complaint(net.run("status"), 2)
