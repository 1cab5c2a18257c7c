"""What deploy/ starts, started: the commands of its manifests and scripts, with the paths and ports of this machine."""

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from braidmq.trust import joinfile
from tests.support.deployed import DEPLOY, documents
from tests.support.processes import environment, wait_until

MEMBERS = ("b1", "b2", "b3", "monitor", "shout", "caller")


def containers(file, workload):
    (manifest,) = [
        each
        for each in documents(DEPLOY / "kubernetes" / "base" / file)
        if each["kind"] in {"StatefulSet", "Deployment"} and each["metadata"]["name"] == workload
    ]
    pod = manifest["spec"]["template"]["spec"]
    return {each["name"]: each for each in [*pod.get("initContainers", ()), *pod["containers"]]}


def placed(words, **places):
    """Return a command with the paths and addresses of this machine in the places of those of a container."""
    line = "\0".join(words)
    for there, here in places.items():
        line = line.replace(there, str(here))
    return line.split("\0")


@pytest.fixture
def pods(live, tmp_path):
    """A broker as the StatefulSet starts it, and what starts replicas of the Deployment."""
    endpoint = live.add_broker("braidmq-0")
    live.add_members()
    (broker,) = containers("brokers.yaml", "braidmq").values()
    state = tmp_path / "state"
    state.mkdir()
    places = {
        "/run/secrets/braidmq/join.braid": live.join("braidmq-0"),
        "/var/lib/braidmq": state,
        "tcp://*:5551": endpoint,
        "$(POD_NAME)": "braidmq-0",
    }
    child = live.start(*placed(broker["args"], **places), env={"BRAIDMQ_ALIVE": str(state / "alive")})
    child.wait_for_line("braidmq-0 listens at")
    return live, broker, child, state


@pytest.mark.nightly
def test_a_broker_of_the_stateful_set_runs_and_its_probe_finds_out_that_it_hangs(pods):
    _, broker, child, state = pods
    shell, option, line = broker["livenessProbe"]["exec"]["command"]
    (limit_s,) = re.findall(r"-lt (\d+)$", line)
    line = line.replace(limit_s, "4")  # seconds are as much as it tells apart

    def lives():
        env = environment(BRAIDMQ_ALIVE=str(state / "alive"))
        return subprocess.run([shell, option, line], env=env, capture_output=True, check=False).returncode == 0

    wait_until(lives, "it lives")
    child.send_signal(signal.SIGSTOP)
    wait_until(lambda: not lives(), "it hangs")
    child.send_signal(signal.SIGCONT)
    wait_until(lives, "it goes on")
    assert child.end(signal.SIGTERM) == 0
    assert (state / "braidmq-0.state").exists()


@pytest.mark.nightly
def test_each_replica_of_the_deployment_makes_a_key_of_its_own_by_the_token(pods, tmp_path):
    live, *_ = pods
    said = live.run(
        "invite", "--prefix", "shout-", "--net", live.directory, "--uses", "5", "--keep", "10m", "--serve", "shout"
    )
    token = said.stdout.decode().strip()
    boxes = containers("shout.yaml", "shout")
    files = []
    for number in range(2):
        folder = tmp_path / f"pod-{number}"
        folder.mkdir()
        folder.chmod(0o777)  # as an emptyDir is
        files.append(folder / "member.braid")
        join = placed(boxes["join"]["args"], **{"/run/braidmq/member.braid": files[-1]})
        for _ in range(2):  # a pod whose containers are started again is the same member
            result = live.run(*join, BRAIDMQ_CODE=token)
            assert result.returncode == 0, result
            assert token.encode() not in result.stdout + result.stderr
        assert stat.S_IMODE(files[-1].stat().st_mode) == 0o600
    names = [joinfile.load(file).name for file in files]
    assert len(set(names)) == 2
    assert all(name.startswith("shout-") for name in names)
    for file in files:
        live.start(*placed(boxes["worker"]["args"], **{"/run/braidmq/member.braid": file}))
    live.wait_for_workers("shout", workers=2)
    assert live.call("shout", "hello").stdout == b"HELLO"


@pytest.mark.nightly
def test_the_script_makes_the_net_of_compose_once(tmp_path):
    net, join = tmp_path / "net", tmp_path / "join"
    join.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = environment(NET=str(net), JOIN=str(join), OWNER=f"{os.getuid()}:{os.getgid()}", PATH=path)

    def make():
        result = subprocess.run(
            ["sh", DEPLOY / "docker" / "make-net.sh"], env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result
        return {each.name: each.read_bytes() for each in join.iterdir()}

    made = make()
    assert set(made) == {f"{name}.braid" for name in MEMBERS} | {"monitor.token"}
    assert all(stat.S_IMODE((join / name).stat().st_mode) == 0o400 for name in made)
    assert re.fullmatch(rb"[\w-]{43}\n", made["monitor.token"])
    for name in MEMBERS:
        file = joinfile.load(join / f"{name}.braid")
        assert {broker.name for broker in file.brokers} >= {"b1", "b2", "b3"} - {name}
    assert make() == made
