"""Changes of a net on the command line, as real processes."""

import json
import os
import subprocess
import sys

import pytest
from nacl.public import PrivateKey

from braidmq.trust.codes import RequestCode
from braidmq.trust.joinfile import load

COMMAND = [sys.executable, "-m", "braidmq"]


def braidmq(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options
    )


def done(*arguments):
    result = braidmq(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def told(*arguments):
    return json.loads(done(*arguments, "--json"))


def warned(*arguments):
    """Run a command that warns; return what it wrote to stdout, and the warnings."""
    result = braidmq(*arguments)
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("braidmq: warning: ") for line in lines)
    return result.stdout, lines


def refused(*arguments):
    result = braidmq(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("braidmq: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def net(tmp_path):
    directory = tmp_path / "net"
    done("init", directory)
    done("add", "broker", "b1", "--net", directory, "--endpoint", "tcp://h:1")
    done("add", "node", "n1", "--net", directory, "--call", "x", "--days", "10")
    return directory


def listed(net, name):
    return next((each for each in told("list", "--net", net)["members"] if each["name"] == name), None)


def test_what_a_member_may_do_is_changed(net):
    said = done("set", "n1", "--net", net, "--serve", "y", "--no-call", "--observe", "--publisher")
    assert said.splitlines()[0] == "Changed node n1."
    assert "No broker has registry 4 yet (b1: " in said
    found = listed(net, "n1")
    assert (found["calls"], found["serves"], found["observe"], found["publish"]) == ([], ["y"], True, True)
    assert told("set", "n1", "--net", net, "--no-serve", "--no-observe", "--no-publisher", "--no-publish") == {
        "name": "n1", "role": "node", "manifest_version": 5, "changed": True,
    }  # fmt: skip
    assert told("set", "n1", "--net", net, "--no-serve")["changed"] is False
    assert "Nothing has changed" in done("set", "n1", "--net", net, "--no-serve")
    assert "copy them" not in done("set", "n1", "--net", net, "--call", "z", "--no-publish")
    assert "nothing is to be changed" in refused("set", "n1", "--net", net)
    assert "exclude each other" in refused("set", "n1", "--net", net, "--call", "x", "--no-call")
    assert "nobody is registered as 'n9'" in refused("set", "n9", "--net", net, "--observe")


@pytest.mark.nightly
def test_a_misspelt_endpoint_is_mended(net):
    done("set", "b1", "--net", net, "--endpoint", "tcp://right:1")
    assert load(net / "b1.braid").certificate.endpoints == ("tcp://right:1",)
    assert load(net / "n1.braid").brokers[0].endpoints == ("tcp://right:1",)


@pytest.mark.nightly
def test_ends_are_listed_and_renewed(net):
    assert "ends in 9 days" in done("list", "--net", net)
    assert listed(net, "n1")["state"] == "ending"
    assert told("renew", "--all", "--net", net, "--days", "90")["names"] == ["n1"]
    assert listed(net, "n1")["state"] == "valid"
    assert "Nothing to renew" in done("renew", "--all", "--net", net, "--days", "20")
    assert "ends later" in refused("renew", "n1", "--net", net, "--days", "20")
    assert "never ends" in refused("renew", "b1", "--net", net)
    assert "name the members, or --all" in refused("renew", "--net", net)
    done("set", "n1", "--net", net, "--no-end")
    assert listed(net, "n1")["not_after"] is None


@pytest.mark.nightly
def test_names_change_and_whoever_may_be_surprised_is_warned(net):
    assert f"Renamed node n1 to m1: {net / 'm1.braid'}" in done("rename", "n1", "m1", "--net", net)
    _, lines = warned("rename", "b1", "c1", "--net", net)
    assert len(lines) == 1
    assert "broker b1 is c1 from now on" in lines[0]
    said, lines = warned("remove", "c1", "m1", "operator", "--net", net)
    assert said.splitlines()[:3] == ["Removed broker c1.", "Removed node m1.", "Removed node operator."]
    assert ["broker c1 is no longer one of the net" in line for line in lines] == [True, False, False, False]
    assert "no member of the net may publish" in lines[3]
    assert "the net has no broker any more" in lines[1]
    assert "braidmq add node NAME --publisher" in lines[2]


def test_a_leaked_file_is_revoked(net):
    key = load(net / "n1.braid").public_key.hex()
    assert told("revoke", "n1", "--net", net)["names"] == ["n1"]
    found = told("list", "--net", net)
    assert found["revoked"] == [{"name": "n1", "key": key, "manifest_version": 4}]
    code = RequestCode(found["net"], "n2", bytes.fromhex(key)).encode()
    assert "was revoked when it was that of 'n1'" in refused("add", "node", "n2", "--net", net, "--request", code)
    done("add", "node", "n1", "--net", net)
    assert load(net / "n1.braid").public_key.hex() != key


@pytest.mark.nightly
@pytest.mark.parametrize("command", [pytest.param("remove", marks=pytest.mark.nightly), "revoke"])
def test_who_is_out_already_is_brought_to_the_net_once_more(net, command):
    """The first command may have been ended before it came so far."""
    done(command, "n1", "--net", net, "--no-publish")
    said = done(command, "n1", "--net", net).splitlines()
    assert said[0] == f"Nothing has changed: n1 was {command}d already."
    assert said[1].startswith("No broker has registry 4 yet (b1: ")
    assert told(command, "n1", "--net", net, "--no-publish")["changed"] is False
    assert "nobody is registered as 'n" in refused(command, "n1", "n9", "--net", net)


@pytest.mark.nightly
def test_a_change_that_was_made_already_is_brought_to_the_net_once_more(net):
    done("set", "n1", "--net", net, "--call", "y", "--no-publish")
    said = done("set", "n1", "--net", net, "--call", "y").splitlines()
    assert said[0] == "Nothing has changed: node n1 was like that already."
    assert said[1].startswith("No broker has registry 4 yet (b1: ")


@pytest.mark.nightly
def test_a_key_is_rotated_and_the_old_one_ends(net):
    old = load(net / "n1.braid").public_key.hex()
    said = done("rotate", "n1", "--net", net, "--overlap", "7d")
    assert str(net / "n1.braid") in said
    found = listed(net, "n1")
    assert (found["rotating"], found["keys"]) == (True, [old, load(net / "n1.braid").public_key.hex()])
    assert "rotating" in done("list", "--net", net)
    assert "--finish` first" in refused("rotate", "n1", "--net", net)
    assert told("rotate", "n1", "--net", net, "--finish")["old_key_until"] is None
    assert listed(net, "n1")["keys"] == [load(net / "n1.braid").public_key.hex()]
    assert "nothing to finish" in refused("rotate", "n1", "--net", net, "--finish")
    assert "no length of time" in refused("rotate", "n1", "--net", net, "--overlap", "7")
    assert "not in the range" in refused("rotate", "n1", "--net", net, "--overlap", "0s")
    assert "goes with neither" in refused("rotate", "n1", "--net", net, "--finish", "--overlap", "7d")


@pytest.mark.nightly
def test_a_key_that_was_made_elsewhere_is_registered_by_its_code(net):
    net_id = told("list", "--net", net)["net"]

    def code(name, net_id=net_id):
        key = bytes(PrivateKey.generate().public_key)
        return RequestCode(net_id, name, key).encode(), key.hex()

    text, key = code("n2")
    assert "`braidmq join` goes on" in done("add", "node", "n2", "--net", net, "--request", text, "--call", "x")
    assert (listed(net, "n2")["keys"], listed(net, "n2")["calls"]) == ([key], ["x"])
    assert not (net / "n2.braid").exists()
    again = refused("add", "node", "n2", "--net", net, "--request", text)
    assert "with this very key already: `braidmq set n2` changes what it may do or where it is" in again
    assert "'n2' is registered already" in refused("add", "node", "n2", "--net", net, "--request", code("n2")[0])
    assert "asks for the name 'n2', not 'n3'" in refused("add", "node", "n3", "--net", net, "--request", text)
    foreign = code("n3", "f" * 16)[0]
    assert "membership in net ffffffffffffffff" in refused("add", "node", "n3", "--net", net, "--request", foreign)
    assert "cut short" in refused("add", "node", "n2", "--net", net, "--request", text[:-5])
    text, key = code("b2")
    assert told("add", "broker", "b2", "--net", net, "--endpoint", "tcp://h:2", "--request", text)["join_file"] is None
    text, newer = code("n2")
    assert "Registered a new key for node n2" in done("rotate", "n2", "--net", net, "--request", text)
    assert listed(net, "n2")["keys"][1] == newer
    assert "--request CODE" in refused("rotate", "b2", "--net", net)


@pytest.mark.nightly
def test_a_directory_of_another_user_is_one_line(net):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(net, 12345, 12345)
    for file in net.iterdir():
        os.chown(file, 12345, 12345)
    net.parent.chmod(0o755)
    script = (
        "import os, sys; from braidmq.cli import run; import braidmq.cli.net.change\n"
        "os.setgid(54321), os.setuid(54321); sys.exit(run(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "set", "n1", "--net", str(net), "--observe"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode in (1, 2), result.stdout) == (True, "")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
