"""Real processes: a single member that a token has made is revoked, and one that loses its name is told of."""

import json
import re
import signal

import pytest

from braidmq.trust.joinfile import load
from tests.support.processes import wait_until

BROKERS = ("b1", "b2")


@pytest.fixture
def replicas(live):
    """Start two brokers, and let a token make two members that serve; return the brokers, its serial and the names."""
    live.add_members(*BROKERS)
    live.authority.add_node("operator", observe=True, publish=True)
    token, _ = live.authority.invite(prefix="replica-", uses=4, calls=["echo"], serves=["echo"])
    brokers = {name: live.broker(name) for name in BROKERS}
    names = []
    for number in (1, 2):
        file = live.directory / f"r{number}.braid"
        joined = live.run("join", "-", "--file", file, stdin=token.encode().encode())
        assert joined.returncode == 0, joined.stderr
        names.append(load(file).name)
    return brokers, token.serial, names


def net_command(live, *arguments):
    """Run a command of the authority; return its exit code, and what it wrote."""
    result = live.run(*arguments, "--net", live.directory)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def enrolled(live):
    code, said, _ = net_command(live, "list", "--json")
    assert code == 0
    return [each["name"] for each in json.loads(said)["enrolled"]]


@pytest.mark.nightly
def test_one_replica_is_revoked_and_the_other_ones_stay(live, replicas):
    brokers, serial, (gone, kept) = replicas
    served = live.serve("--service", "echo", "--exec", "cat", name="r1")
    live.serve("--service", "echo", "--exec", "cat", name="r2")
    live.wait_for_workers("echo", workers=2)
    assert set(enrolled(live)) == {gone, kept}

    code, said, why = net_command(live, "remove", gone)
    assert (code, said) == (2, "")
    assert f"if token {serial} has made it, `braidmq revoke {gone}` takes it out" in why
    assert why.count("\n") == 1

    brokers["b2"].end(signal.SIGKILL)
    code, said, why = net_command(live, "revoke", gone)
    assert (code, why) == (0, "")
    assert said.startswith(f"Revoked {gone}, which token.{serial} had made.\nRegistry ")
    assert "is in force at b1" in said
    served.wait_for_line("was revoked")
    live.wait_for_workers("echo", "b1", workers=1)
    assert enrolled(live) == [kept]
    assert live.call("echo", "x").stdout == b"x"

    live.broker("b2")  # it has kept the enrolment, and tells it to the other one again
    live.wait_for_agreement(*BROKERS)
    live.wait_for_workers("echo", workers=1)
    wait_until(lambda: live.report("b2").registry.version == live.report("b1").registry.version, "b2 has it, too")
    brokers["b1"].end(signal.SIGKILL)
    live.broker("b1")
    live.wait_for_agreement(*BROKERS)
    live.wait_for_workers("echo", workers=1)
    assert enrolled(live) == [kept]
    refused = live.call("echo", "x", name="r1")
    assert refused.returncode == 6
    assert b"revoked" in refused.stderr
    assert live.call("echo", "x", name="r2").stdout == b"x"

    code, said, why = net_command(live, "revoke", gone)
    assert (code, said) == (2, "")
    assert f"'{gone}' is revoked already" in why


@pytest.mark.nightly
def test_who_is_to_be_revoked_and_is_not_known_is_told_in_one_line(live, replicas):
    brokers, _, (name, _) = replicas
    code, said, why = net_command(live, "revoke", "replica-nobody")
    assert (code, said) == (2, "")
    assert re.fullmatch(r"braidmq: nobody is registered as 'replica-nobody', and no broker knows such a .*\n", why)
    for broker in brokers.values():
        broker.end(signal.SIGKILL)
    code, said, why = net_command(live, "revoke", name)
    assert (code, said) == (1, "")
    assert re.fullmatch(r"braidmq: nobody is registered as .* and no broker answers \(.*\)\n", why)
    assert live.authority.manifest().extras.revoked == ()


@pytest.mark.nightly
def test_who_loses_its_name_to_somebody_who_is_registered_is_told(live, replicas):
    _, serial, (first, second) = replicas
    was = "was a member that token.{} had made: it is not any more\n"
    code, _, why = net_command(live, "add", "node", first)
    assert (code, why) == (0, f"braidmq: warning: {first} {was.format(serial)}")
    code, _, why = net_command(live, "rename", "worker", second)
    assert (code, why) == (0, f"braidmq: warning: {second} {was.format(serial)}")
    code, _, why = net_command(live, "add", "node", "replica-new")
    assert (code, why) == (0, "")
    assert enrolled(live) == []
