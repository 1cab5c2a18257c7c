"""Real processes: what ends and who was seen is told, a clock that is off cuts nobody, and who is removed is gone."""

import json
import re
import time

import pytest
from nacl.public import PrivateKey

from braidmq.enrolment import use_token
from faults.scenarios.jump_clock import missing, own_clock
from tests.support.nights import nightly_but
from tests.support.processes import wait_until

HOUR_S = 3_600

NAMES = ("b1", "b2", "b3")


def status(net, *options):
    """What `braidmq status` says, and its exit code."""
    result = net.run("status", "--join", net.join("observer"), *options)
    assert result.stderr == b""
    return result.stdout.decode(), result.returncode


def settled(net, *names):
    """Wait until all is well, and status says so."""

    def well():
        text, code = status(net)
        return code == 0 and text.startswith(f"all is well: {len(names)} brokers ({', '.join(names)}), ")

    net.wait_for_agreement(*names)
    wait_until(well, f"all is well at {', '.join(names)}")


def listing(net, *options):
    result = net.run("list", "--net", net.directory, *options)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def cells(text, name):
    """The row of a member in the first table, by the heads of its columns."""
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith(f"{name} "))
    heads = list(re.finditer(r"\S+( \S+)*", lines[0]))
    ends = [*(each.start() for each in heads[1:]), None]
    return {each[0]: row[each.start() : end].strip() for each, end in zip(heads, ends, strict=True)}


@pytest.mark.nightly
def test_what_ends_within_a_day_is_told_by_brokers_the_node_and_status(live):
    live.add_members("b1", "b2")
    ends_at = int(time.time()) + 5 * HOUR_S
    live.authority.add_node("n1", serves=["*"], not_after=ends_at)
    brokers = [live.broker(name) for name in ("b1", "b2")]
    node = live.serve("--service", "echo", "--exec", "cat", name="n1")
    for broker in brokers:
        line = broker.wait_for_line("1 certificate ends within 1 day: n1")
        assert "WARNING" in line
    assert "WARNING" in node.wait_for_line("the certificate of n1, this process, ends within 1 day")
    live.wait_for_workers("echo")
    live.wait_for_agreement("b1", "b2")
    text, code = status(live)
    assert code == 1
    assert "\n  ! the certificate of n1 ends in 4 h 5" in text
    told = json.loads(status(live, "--json")[0])
    assert [each["name"] for each in told["ends"]] == ["n1"]
    assert told["well"] is False
    assert cells(listing(live), "n1")["STATE"] == "ends within a day"
    live.authority.renew(["n1"], ends_at + 90 * 86_400)
    settled(live, "b1", "b2")


@pytest.mark.nightly
def test_a_broker_that_is_removed_has_no_row_any_more_and_is_refused_as_that(live):
    live.add_members(*NAMES)
    for name in NAMES:
        live.broker(name)
    settled(live, *NAMES)
    live.authority.remove(["b3"])

    def gone():
        told = json.loads(status(live, "--json")[0])
        rows = {row["name"] for each in told["brokers"] if each["report"] for row in each["report"]["brokers"]}
        return {each["name"] for each in told["brokers"]} | rows == {"b1", "b2"}

    wait_until(gone, "no broker has a row of b3")
    settled(live, "b1", "b2")
    wait_until(lambda: "\nremoved  b1 " in status(live)[0], "b3 is refused as one that was removed")


def is_off(text, off_h, way):
    """Whether a text tells by how much the clock of b3 is off: some seconds more if it was on its way for long."""
    found = re.search(rf"the clock of b3 is ([0-9,]+) s {way} that of the net", text)
    return found is not None and abs(int(found[1].replace(",", "")) - abs(off_h) * HOUR_S) < HOUR_S / 2


@pytest.mark.nightly
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("off_h", nightly_but({5}, (5, -5)))
def test_a_broker_with_a_clock_off_by_hours_cuts_nobody_and_is_told(live, off_h):
    live.add_members(*NAMES)
    live.authority.add_node("n1", calls=["*"], not_after=int(time.time()) + 2 * HOUR_S)
    live.authority._clock = lambda: time.time() - 3 * HOUR_S  # when it was made, its end was to come
    live.authority.add_node("past", calls=["*"], not_after=int(time.time()) - 2 * HOUR_S)
    wrong = {**own_clock(), "FAKETIME": f"{off_h:+d}h"}
    for name in ("b1", "b2"):
        live.broker(name)
    off = live.broker("b3", env=wrong)
    live.serve("--service", "echo", "--exec", "cat")
    live.wait_for_workers("echo")
    way = "ahead of" if off_h > 0 else "behind"
    line = off.wait_for_line("the clock of b3 is ")
    assert is_off(line, off_h, way)
    for broker in NAMES:
        result = live.call("echo", "x", "--via", broker, "--timeout", "20", name="n1")
        assert (result.returncode, result.stdout) == (0, b"x"), result
        assert live.call("echo", "x", "--via", broker, "--timeout", "20", name="past").returncode == 6
    net_wide, code = status(live)
    assert code == 1
    assert is_off(net_wide, off_h, way)


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_node_with_a_clock_off_by_hours_serves_on_and_tells_it(live):
    live.add_members("b1", "b2")
    live.authority.add_node("n1", serves=["*"], not_after=int(time.time()) + 60 * 24 * HOUR_S)
    for name in ("b1", "b2"):
        live.broker(name)
    wrong = {**own_clock(), "FAKETIME": "+100d"}
    node = live.serve("--service", "echo", "--exec", "cat", name="n1", env=wrong)
    live.wait_for_workers("echo")
    assert live.call("echo", "x").stdout == b"x"
    node.wait_for_line("s ahead of that of the net, by which certificates end")
    assert "the certificate of n1" not in node.log


@pytest.mark.nightly
def test_list_tells_who_is_connected_who_was_and_what_tokens_have_made(live):
    live.add_members("b1", "b2")
    token, _ = live.authority.invite(prefix="replica-", uses=3, calls=["echo"])
    offline = listing(live)
    assert "LAST SEEN" not in offline
    assert offline.splitlines()[-1].split()[:4] == [str(token.serial), "replica-*", "3", "-"]
    for name in ("b1", "b2"):
        live.broker(name)
    live.serve("--service", "echo", "--exec", "cat")
    live.wait_for_workers("echo")
    key = bytes(PrivateKey.generate().public_key)
    use_token(token, key, "replica-a", 20.0)
    assert live.call("echo", "x").stdout == b"x"
    text = listing(live)
    assert cells(text, "b1")["LAST SEEN"] == cells(text, "worker")["LAST SEEN"] == "now"
    assert cells(text, "client")["LAST SEEN"] in ("now", *(f"{seconds} s ago" for seconds in range(60)))
    assert f"\n{token.serial} " in text
    assert next(line for line in text.splitlines() if "replica-*" in line).split()[2:4] == ["3", "2"]
    assert any(line.startswith("replica-a ") for line in text.splitlines())
    told = json.loads(listing(live, "--json"))
    assert (told["brokers_heard"], told["tokens"][0]["used"]) == (["b1", "b2"], 1)
    assert {each["name"]: each["seen_ago_s"] for each in told["members"]}["worker"] == 0
    assert [each["name"] for each in told["enrolled"]] == ["replica-a"]
    assert "LAST SEEN" not in listing(live, "--offline")
    assert json.loads(listing(live, "--offline", "--json"))["brokers_heard"] == []
    shown, _code = status(live)
    assert "\nTOKEN  FOR        USES  LEFT  ENDS\n" in shown
    assert "\nreplica-a  " in shown
