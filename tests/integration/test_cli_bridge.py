"""`braidmq bridge`: from the command line and from a file, in real processes."""

import resource
import signal
import sys

import pytest
import zmq

from tests.support.processes import complaint, wait_until


@pytest.fixture
def net(live):
    live.add_members("b1")
    live.add_node("bridge-1", calls=["*"], serves=["*"])
    return live


@pytest.fixture
def config(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


ANYWHERE = "tcp://127.0.0.1:*"
LISTENS = "the majordomo bridge of bridge-1 listens at "


def ask(endpoint, service, **plain):
    """Return what a client of 0.1 gets from `mmi.service`, or nothing."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        if plain:
            socket.plain_username, socket.plain_password = plain["user"], plain["password"]
        socket.connect(endpoint)
        socket.send_multipart([b"MDPC01", b"mmi.service", service])
        return socket.recv_multipart()[-1] if socket.poll(plain.get("timeout_ms", 20_000)) else b""


def test_bridge_of_the_command_line_serves_until_sigterm(net):
    net.broker("b1")
    bridge = net.start("bridge", "majordomo", "--join", net.join("bridge-1"), "--bind", ANYWHERE)
    endpoint = bridge.wait_for_line(LISTENS).split()[-1]
    wait_until(lambda: ask(endpoint, b"braid.echo") == b"200" or ask(endpoint, b"x") == b"404", "it answers")
    assert bridge.end(signal.SIGTERM) == 0
    assert "the bridges are draining" in bridge.log
    assert "the majordomo bridge of bridge-1 ends; it has counted: requests " in bridge.log
    assert "all bridges have ended" in bridge.log


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limits of another process are not told")
def test_bridge_takes_all_descriptors_that_it_may_have(net):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))  # which the bridge inherits
    try:
        bridge = net.start("bridge", "majordomo", "--join", net.join("bridge-1"), "--bind", ANYWHERE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    bridge.wait_for_line(LISTENS)
    assert resource.prlimit(bridge.pid, resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.nightly
def test_bridges_of_a_file_need_no_more_than_the_file(net, config):
    path = config(f"""
[majordomo]
join = "{net.join("bridge-1")}"
bind = ["{ANYWHERE}"]

[majordomo.users.shop]
password = "secret"
""")
    bridge = net.start("bridge", "--config", path)
    endpoint = bridge.wait_for_line(LISTENS).split()[-1]
    assert ask(endpoint, b"x", user=b"shop", password=b"secret") == b"404"
    assert ask(endpoint, b"x", user=b"shop", password=b"other", timeout_ms=300) == b""
    assert bridge.end(signal.SIGINT) == 0
    assert "secret" not in bridge.log
    assert "other" not in bridge.log


@pytest.mark.nightly
def test_what_is_wrong_is_told_in_one_line(net, config, tmp_path):
    own = ("--join", net.join("bridge-1"))
    for arguments, said in (
        (("bridge",), "Name a kind of bridge (majordomo"),
        (("bridge", "nothing"), "'nothing' is not"),
        (("bridge", "majordomo"), "needs a join file"),
        (("bridge", "majordomo", "--join", net.join("b1")), "is a broker's"),
        (("bridge", "majordomo", *own, "--bind", "tcp://0.0.0.0:5555"), "insecure_bind"),
        (("bridge", "majordomo", *own, "--bind", "nonsense"), "nonsense"),
        (("bridge", *own, "--config", tmp_path / "nothing.toml"), "nothing.toml"),
        (("bridge", *own, "--config", config("[majordomo]\n\ntimeout_s = 'x'\n")), "line 3, majordomo.timeout_s"),
        (("bridge", *own, "--config", config("[majordomo.services.'a b']\n")), "line 1, majordomo.services"),
        (("bridge", *own, "--config", config("[majordomo.users.x]\npassword = 'x'\n", 0o644)), "chmod 600"),
    ):
        assert said in complaint(net.run(*arguments), 2), arguments
