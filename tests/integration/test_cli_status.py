"""`braidmq status` against real brokers."""

import json
import shutil
import signal
from queue import Queue
from subprocess import PIPE, Popen
from threading import Thread
from time import monotonic

import pytest

from braidmq.trust.authority import Authority
from braidmq.trust.joinfile import load
from tests.support.processes import BRAIDMQ, WAIT_S_MAX, complaint, environment, loaded, wait_until


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
    wait_until(lambda: net.sound(("b1", "b2"), members=1, workers=1), "both brokers are connected to each other")


def told_in_json(result):
    """What status tells, be all well or not."""
    assert result.returncode in (0, 1), result
    assert result.stderr == b""
    return json.loads(result.stdout)


@pytest.mark.nightly
def test_json_tells_of_every_broker_and_what_it_knows(net):
    start_all(net)
    assert net.call("echo", "hello", "--via", "b1").stdout == b"hello"
    told = told_in_json(status(net, "--json"))
    assert told["node"] == "observer"
    assert [broker["name"] for broker in told["brokers"]] == ["b1", "b2"]
    for broker in told["brokers"]:
        report = broker["report"]
        assert (broker["link"], broker["problem"]) == ("up", None)
        assert broker["endpoints"] == [net.endpoints[broker["name"]]]
        assert report["state"] == "up"
        assert report["uptime_s"] > 0
        assert report["software"].startswith("braidmq ")
        own, other = report["brokers"]
        assert (own["name"], own["state"], own["link"]) == (broker["name"], "alive", "")
        assert (other["name"], other["state"]) == ({"b1": "b2", "b2": "b1"}[broker["name"]], "alive")
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
    assert text.startswith("all is well: 2 brokers (b1, b2), 2 nodes, 1 service\n")
    assert "\nBROKER  TO b1  TO b2 " in text
    for name in ("b1", "b2"):
        assert f"{name} at {net.endpoints[name]}: up, for " in text
    assert text.count("\nworker    open   b1, b2 ") == 1
    assert text.count("\necho     all     1        8 ") == 1
    assert text.count("\n         b1      1 ") == 1
    assert "requests 0" in text


class Watch:
    """A `braidmq status --watch`; its lines are read all the time, so that one can wait for them with a deadline."""

    def __init__(self, *arguments):
        self.process = Popen([*BRAIDMQ, "status", "--watch", *arguments], stdout=PIPE, stderr=PIPE, env=environment())
        self._lines = Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def wait_for_line(self, told):
        """Wait for a line for which `told` holds, and return it."""
        give_up_at = monotonic() + WAIT_S_MAX
        while not told(line := self._lines.get(timeout=max(0.0, give_up_at - monotonic()))):
            pass
        return line

    def end(self, number):
        """Send it a signal; return its exit code and what it wrote to stderr."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S_MAX), self.process.stderr.read()

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def _read(self):
        with self.process.stdout as stdout:
            for line in stdout:
                self._lines.put(line.decode())


@pytest.fixture
def three(live):
    live.add_members("b1", "b2", "b3")
    return live


@pytest.fixture
def watch(live):
    """Start a watch with further options; it is ended after the test."""
    started = []

    def start(*options):
        started.append(Watch("--join", str(live.join("observer")), *options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def agreed(net, *names):
    """Return what status tells once all brokers tell of exactly `names` that they are alive, and are connected."""

    def told():
        result = status(net)
        return result.stdout.decode() if well(*names) in result.stdout.decode() else None

    return wait_until(told, f"{names} agree")


def well(*names):
    return f"all is well: {len(names)} brokers ({', '.join(names)}), "


def test_three_brokers_agree_until_one_is_killed(three):
    brokers = {name: three.broker(name) for name in three.endpoints}
    agreed(three, "b1", "b2", "b3")
    assert loaded(status(three, "--json"))["agree"] is True
    brokers["b2"].end(signal.SIGKILL)

    def noticed():
        text = status(three).stdout.decode()
        return text if "b2 is dead" in text.partition("\n")[0] else None

    text = wait_until(noticed, "b2 is told to be dead")
    assert f"nothing answers there ({three.endpoints['b2']})" in text
    assert status(three).returncode == 1, "a broker that does not answer is something wrong"
    told = told_in_json(status(three, "--json"))
    assert [broker["report"] is None for broker in told["brokers"]] == [False, True, False]


@pytest.mark.nightly
def test_a_watch_shows_a_broker_die_and_come_back(three, watch):
    brokers = {name: three.broker(name) for name in three.endpoints}
    watching = watch()
    watching.wait_for_line(lambda line: well("b1", "b2", "b3") in line)
    brokers["b3"].end(signal.SIGKILL)
    watching.wait_for_line(lambda line: "b3 is dead" in line)
    three.broker("b3")
    watching.wait_for_line(lambda line: well("b1", "b2", "b3") in line)
    assert watching.end(signal.SIGINT) == (0, b"")


@pytest.mark.nightly
def test_a_watch_outlives_the_absence_of_every_broker_and_ends_with_sigterm(net, watch):
    watching = watch("--json")
    told = json.loads(watching.wait_for_line(bool))
    assert ([broker["report"] for broker in told["brokers"]], told["agree"]) == ([None, None], False)
    net.broker("b1")
    net.broker("b2")
    told = json.loads(watching.wait_for_line(lambda line: all(each["report"] for each in json.loads(line)["brokers"])))
    assert [broker["name"] for broker in told["brokers"]] == ["b1", "b2"]
    assert watching.end(signal.SIGTERM) == (0, b"")


@pytest.mark.nightly
def test_a_watch_whose_reader_has_gone_ends_silently(net):
    command = [*BRAIDMQ, "status", "--watch", "--join", str(net.join("observer"))]
    with Popen(command, stdout=PIPE, stderr=PIPE, env=environment()) as process:
        try:
            assert process.stdout.readline()
            process.stdout.close()
            process.wait(WAIT_S_MAX)
        finally:
            process.kill()
        assert process.stderr.read() == b""


@pytest.mark.nightly
def test_a_watch_ends_if_the_node_may_not_observe(net):
    net.broker("b1")
    net.broker("b2")
    result = status(net, "--watch", name="client")
    assert result.returncode == 6
    assert b"client may not observe the net" in result.stderr


@pytest.mark.nightly
def test_a_broker_that_is_not_there_is_shown_with_the_reason(net):
    net.broker("b1")
    result = status(net)
    assert (result.returncode, result.stderr) == (1, b"")
    assert f"  ! b2 is dead: nothing answers there ({net.endpoints['b2']}); ".encode() in result.stdout
    down = told_in_json(status(net, "--json"))["brokers"][1]
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
    why = "what answers there does not hold this broker's key: it is a broker of another net"
    assert f"b1 at {net.endpoints['b1']}: {why}" in result.stderr.decode()


@pytest.mark.nightly
def test_what_brokers_refuse_is_counted_by_kind_with_the_newest_one(net, tmp_path):
    start_all(net)
    shutil.copytree(net.directory, tmp_path / "copy")
    stranger = Authority.open(tmp_path / "copy").add_node("stranger", calls=["*"])
    intruder = load(stranger)
    assert net.run("call", "echo", "--join", stranger, "--timeout", "20").returncode == 6
    told = told_in_json(status(net, "--json"))
    b1 = told["brokers"][0]["report"]
    (row,) = (each for each in b1["refusals"] if each["kind"] == "unknown")
    assert row["count"] == b1["counters"]["refused_unknown"] >= 1
    assert (row["who"], row["where"]) == (f"the key {intruder.public_key.hex()[:16]}...", "127.0.0.1")
    text = status(net).stdout.decode()
    assert "\nREFUSED  BROKER  COUNT  NEWEST" in text
    assert "\nunknown  b1 " in text
    assert "refused_unknown" not in text


def test_a_node_that_may_not_observe_is_exit_code_6_and_is_told_how(net):
    net.broker("b1")
    net.broker("b2")
    result = status(net, name="client")
    assert result.returncode == 6
    assert result.stderr.count(b"\n") == 1
    assert b"client may not observe the net" in result.stderr
    assert b"braidmq add node NAME --net DIR --observe" in result.stderr


@pytest.mark.nightly
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


@pytest.mark.nightly
def test_a_wrong_join_file_is_exit_code_2(net, tmp_path):
    assert "a node needs one made by" in complaint(status(net, name="b1"), 2)
    assert "does not exist" in complaint(net.run("status", "--join", tmp_path / "nothing"), 2)
    assert "BRAIDMQ_JOIN" in complaint(net.run("status"), 2)
