"""The real process: `python -m braidmq`."""

import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from braidmq.host.ports import ephemeral_range
from braidmq.trust.joinfile import load
from tests.support.nights import cases

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
COMMAND = [sys.executable, "-m", "braidmq"]


def braidmq(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def done(*arguments):
    result = braidmq(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def refused(*arguments):
    """Run a command that must fail with exit code 2 and one line; return the line."""
    result = braidmq(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("braidmq: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def net(tmp_path):
    done("init", tmp_path / "net")
    return tmp_path / "net"


def test_a_port_that_connections_may_hold_is_warned_of(net):
    low, _high = ephemeral_range()
    result = braidmq("add", "broker", "b1", "--net", net, "--endpoint", f"tcp://h:{low}", "--endpoint", "tcp://h:5551")
    assert result.returncode == 0
    assert result.stderr.count("\n") == 1
    assert f"warning: port {low} of tcp://h:{low} is one of those" in result.stderr
    assert "ip_local_reserved_ports" in result.stderr
    assert load(net / "b1.braid").certificate.endpoints == (f"tcp://h:{low}", "tcp://h:5551")


def test_a_net_is_made_filled_and_listed(net):
    said = done("add", "broker", "b1", "--net", net, "--endpoint", "tcp://h:1", "--endpoint", "tcp://h:2")
    assert str(net / "b1.braid") in said
    assert "0600" in said
    done("add", "node", "n1", "--net", net, "--call", "a", "--call", "b.*", "--serve", "c", "--observe")
    listed = json.loads(done("list", "--net", net, "--json"))
    assert listed["net"] == load(net / "n1.braid").net
    assert listed["manifest_version"] == 3
    assert listed["revoked"] == []
    broker, node, operator = listed["members"]
    assert broker == {
        "name": "b1",
        "role": "broker",
        "state": "valid",
        "rotating": False,
        "serial": 2,
        "calls": [],
        "serves": [],
        "observe": False,
        "publish": False,
        "operate": False,
        "endpoints": ["tcp://h:1", "tcp://h:2"],
        "not_after": None,
        "old_key_until": None,
        "keys": [load(net / "b1.braid").public_key.hex()],
        "seen_ago_s": None,
    }
    assert (listed["tokens"], listed["enrolled"], listed["brokers_heard"]) == ([], [], [])
    assert (node["calls"], node["serves"], node["observe"], node["endpoints"]) == (["a", "b.*"], ["c"], True, [])
    assert [operator[right] for right in ("name", "observe", "publish", "operate")] == ["operator", True, True, True]
    table = done("list", "--net", net).splitlines()
    assert [line.split()[0] for line in table] == ["NAME", "b1", "n1", "operator"]
    assert node["keys"][0][:12] in table[2]
    assert node["keys"][0] not in table[2]


@pytest.mark.nightly
def test_the_right_to_operate_is_given_and_taken_and_listed(net):
    done("add", "node", "n1", "--net", net, "--operate")

    def rights():
        (node,) = [each for each in json.loads(done("list", "--net", net, "--json"))["members"] if each["name"] == "n1"]
        (row,) = [line for line in done("list", "--net", net).splitlines() if line.startswith("n1 ")]
        assert node["operate"] is ("operate" in row)
        return node["operate"], load(net / "n1.braid").certificate.member.operate

    assert rights() == (True, True)
    done("set", "n1", "--net", net, "--no-operate", "--no-publish")
    assert rights() == (False, False)
    done("set", "n1", "--net", net, "--operate", "--no-publish")
    assert rights() == (True, True)


def test_json_says_what_was_made(tmp_path):
    made = json.loads(done("init", tmp_path / "net", "--json"))
    added = json.loads(done("add", "node", "n1", "--net", tmp_path / "net", "--json"))
    join = load(added["join_file"])
    assert (made["net"], made["authority_key"]) == (join.net, join.authority_key.hex())
    assert (added["name"], added["role"], added["manifest_version"]) == ("n1", "node", 2)
    assert load(made["operator"]).certificate.publish


def test_no_output_holds_a_secret(net):
    said = done("add", "node", "n1", "--net", net) + done("list", "--net", net) + done("list", "--net", net, "--json")
    for secret in (load(net / "n1.braid").secret_key.hex(), json.loads((net / "n1.braid").read_text())["secret_key"]):
        assert secret not in said


def test_every_file_is_private(net):
    done("add", "node", "n1", "--net", net)
    assert {stat.S_IMODE(path.stat().st_mode) for path in net.iterdir()} == {0o600}


@pytest.mark.nightly
def test_mistakes_in_the_net_are_one_line(net, tmp_path):
    done("add", "node", "n1", "--net", net)
    assert "already" in refused("init", net)
    assert "already" in refused("add", "node", "n1", "--net", net)
    assert "cannot name a member" in refused("add", "node", "a/b", "--net", net)
    assert "pattern" in refused("add", "node", "n2", "--net", net, "--call", "a b")
    assert "connect to" in refused("add", "broker", "b1", "--net", net, "--endpoint", "tcp://*:1")
    assert "tcp://" in refused("add", "broker", "b1", "--net", net, "--endpoint", "h:1")
    assert "braidmq init" in refused("list", "--net", tmp_path / "nothing")
    assert "braidmq init" in refused("list", "--net", tmp_path / "two\nlines")
    (net / "authority.key").chmod(0o644)
    assert "chmod 600" in refused("list", "--net", net)


@cases(
    "arguments",
    [
        ["frobnicate"],
        ["--frobnicate"],
        ["init"],
        ["init", "a", "b"],
        ["add"],
        ["add", "frobnicate"],
        ["add", "broker", "b1", "--net", "x"],
        ["add", "node", "n1"],
        ["list"],
    ],
    ids=" ".join,
    one_in=3,
)
def test_wrong_usage_is_exit_code_2_and_one_line(arguments):
    assert "--help" in refused(*arguments)


def test_without_a_command_the_help_goes_to_stderr():
    result = braidmq()
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage:" in result.stderr


def test_help_names_every_command_and_imports_none():
    said = done("--help")
    for name in ("init", "add", "list", "broker", "serve", "call", "status", "demo"):
        assert f"\n  {name} " in said
    script = (
        "import sys; from braidmq.cli import run; run(['--help'])\n"
        "heavy = {'nacl', 'msgspec', 'zmq', 'asyncio', 'braidmq.cli.net'} & set(sys.modules); assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_version():
    assert re.fullmatch(r"braidmq \d+\.\d+\.\d+, cores (compiled|interpreted)\n", done("--version"))


@pytest.mark.nightly
def test_a_join_file_that_could_not_be_refreshed_is_a_warning(net):
    done("add", "broker", "b1", "--net", net, "--endpoint", "tcp://h:1")
    (net / "b1.braid").chmod(0o644)
    result = braidmq("add", "node", "n1", "--net", net, "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["name"] == "n1"
    assert result.stderr.startswith("braidmq: warning: ")
    assert result.stderr.count("\n") == 1


def test_a_full_disk_is_one_line_and_changes_nothing(net):
    before = {path.name: path.read_bytes() for path in net.iterdir()}
    script = (
        "import resource, sys; sys.dont_write_bytecode = True\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); from braidmq.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "add", "node", "n1", "--net", str(net)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"braidmq: {net / 'n1.braid'}: File too large\n"
    assert {path.name: path.read_bytes() for path in net.iterdir()} == before


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(net):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "list", "--net", str(net)],
            stdout=full,
            stderr=subprocess.PIPE,
            env=BUFFERED,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (1, "braidmq: No space left on device\n")


def test_a_reader_that_has_gone_is_no_complaint(net):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [*COMMAND, "list", "--net", str(net)],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=BUFFERED,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def test_an_interrupt_is_exit_code_130(net):
    with (net / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        script = (
            "import fcntl, sys; from braidmq.cli import run\n"
            "flock = fcntl.flock\n"
            "def announced(*arguments): print('waiting', file=sys.stderr, flush=True); flock(*arguments)\n"
            "fcntl.flock = announced\n"
            "sys.exit(run(sys.argv[1:]))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, "add", "node", "n1", "--net", str(net)], stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr.readline() == "waiting\n"
            child.send_signal(signal.SIGINT)
            _, complaint = child.communicate(timeout=60)
    assert child.returncode == 130
    assert complaint.strip() == ""


@pytest.mark.nightly
def test_a_net_lies_where_nobody_else_may_put_another_one(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for command in (["init", shared / "net"], ["list", "--net", shared / "net"]):
        assert f"run `chmod go-w {shared}`" in refused(*command)
    shared.chmod(0o1777)
    done("init", shared / "net")
    (shared / "net").chmod(0o777)
    for command in (["list"], ["add", "node", "n1"]):
        assert f"run `chmod 700 {shared / 'net'}`" in refused(*command, "--net", shared / "net")


def test_what_a_terminal_could_take_for_a_command_is_escaped_in_every_output(tmp_path):
    directory = tmp_path / "net\u202e\x9b2J\x1b]0;x\x07"
    for command in (
        ["init", directory],
        ["add", "broker", "b1", "--endpoint", "tcp://127.0.0.1:4000", "--net", directory],
        ["add", "node", "n1", "--net", directory],
        ["add", "node", "n2", "--net", directory, "--json"],
        ["list", "--net", directory],
        ["list", "--net", directory, "--json"],
    ):
        said = done(*command)
        assert all(line.isprintable() for line in said.split("\n"))
        if "--json" in command and "add" in command:
            assert json.loads(said)["join_file"] == str(directory / "n2.braid")


@pytest.mark.nightly
def test_brokers_of_one_host_are_registered_together(net):
    options = ["--net", net, "--endpoint", "tcp://h:5551", "--processes", "3"]
    said = done("add", "broker", "b1", *options)
    assert [line for line in said.splitlines() if line.startswith("Registered")] == [
        f"Registered broker b1-{number}: {net}/b1-{number}.braid" for number in (1, 2, 3)
    ]
    assert "copy these 3 files to their machine" in said
    assert "braidmq broker --processes 3 --join b1-1.braid" in said
    assert [load(net / f"b1-{number}.braid").certificate.endpoints for number in (1, 2, 3)] == [
        ("tcp://h:5551",), ("tcp://h:5552",), ("tcp://h:5553",),
    ]  # fmt: skip
    added = json.loads(
        done("add", "broker", "b2", "--net", net, "--endpoint", "tcp://i:1", "--processes", "2", "--json")
    )
    assert set(added.pop("published")["lack"]) == {"b1-1", "b1-2", "b1-3", "b2-1", "b2-2"}
    assert added == {
        "name": "b2-1",
        "role": "broker",
        "join_file": str(net / "b2-1.braid"),
        "manifest_version": 3,
        "changed": True,
        "names": ["b2-1", "b2-2"],
        "join_files": [str(net / "b2-1.braid"), str(net / "b2-2.braid")],
    }
    assert "registered already" in refused("add", "broker", "b1", *options)
    assert "not in the range" in refused(
        "add", "broker", "b3", "--net", net, "--endpoint", "tcp://j:1", "--processes", 0
    )
    assert "cannot be counted up by 1" in refused(
        "add", "broker", "b3", "--net", net, "--endpoint", "tcp://j:65535", "--processes", 2
    )


@pytest.mark.nightly
def test_a_broker_that_is_elsewhere_or_has_another_name_is_to_be_restarted(net):
    done("add", "broker", "b1", "--net", net, "--endpoint", "tcp://127.0.0.1:5551")
    moved = ["set", "b1", "--net", net, "--endpoint", "tcp://127.0.0.1:5552", "--no-publish"]
    assert done(*moved) == "Changed broker b1.\nRestart it if it runs, so that it listens there.\n"
    assert done(*moved) == "Nothing has changed: broker b1 was like that already.\n"
    result = braidmq("rename", "b1", "b2", "--net", net, "--no-publish")
    assert result.returncode == 0
    assert "broker b1 is b2 from now on" in result.stderr
    assert "restart it" in result.stderr
