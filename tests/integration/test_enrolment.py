"""Machines that become members by themselves: by a token, or by a request that the operator grants."""

import threading
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from nacl.public import PrivateKey

from braidmq import Node
from braidmq.cli import cli
from braidmq.cli import join as joining_command
from braidmq.cli.exit_codes import ExitCode, exit_code
from braidmq.enrolment import await_certificate, use_token
from braidmq.errors import ConfigError, NoBroker, NotRegistered
from braidmq.members import Role
from braidmq.testing import TestNet
from braidmq.trust.codes import BrokerPlace, Netcode, RequestCode
from braidmq.trust.joinfile import admitted, load
from braidmq.trust.pending import Pending
from braidmq.zmtp.handshake import KeyPair
from tests.support.async_tests import wait_until

WAIT_S = 20.0
"""How long a member may take to be one on a busy machine."""


def made():
    key = PrivateKey.generate()
    return KeyPair(bytes(key.public_key), bytes(key))


def silent(_why):
    """Wait without a word."""


def joined(netcode, pair, name, timeout_s=WAIT_S):
    admission = await_certificate(netcode, pair, timeout_s, silent)
    waiting = Pending(secret_key=pair.secret, name=name, netcode=netcode)
    return admitted(waiting, admission.certificate, roster=admission.roster)


def serve(join):
    node = Node(join)

    @node.service("echo")
    async def echo(request):
        return request.payload

    return node


def reread(net):
    for done in [broker.reread_registry() for broker in net.brokers.values()]:
        done.result(WAIT_S)


@pytest.fixture
def net():
    with TestNet(brokers=3) as net:
        yield net


async def test_a_token_makes_a_member_at_every_broker(net):
    token, _ = net.authority.invite(prefix="replica-", uses=2, serves=["echo"])
    reread(net)
    pair = made()
    name = token.name_for(pair.public)
    use_token(token, pair.public, name, WAIT_S)
    join = joined(token.netcode, pair, name)
    assert join.name == name
    assert {each.name for each in join.brokers} == set(net.brokers)
    async with serve(join) as node, net.node("caller") as caller:
        await net.served("echo", workers=1)
        for broker in net.brokers:
            reply = await caller.request("echo", b"x", timeout=WAIT_S, via=broker)
            assert (reply.payload, reply.sender) == (b"x", name)
        assert {each.name for each in node.brokers} == set(net.brokers)


def test_a_token_makes_no_more_members_than_it_may(net):
    token, _ = net.authority.invite(prefix="replica-", uses=2)
    reread(net)
    for _ in range(2):
        pair = made()
        use_token(token, pair.public, token.name_for(pair.public), WAIT_S)
        use_token(token, pair.public, token.name_for(pair.public), WAIT_S)  # once more is no further use
    other = made()
    with pytest.raises(NotRegistered, match="as many members as it may"):
        use_token(token, other.public, token.name_for(other.public), WAIT_S)
    with pytest.raises(NotRegistered, match="not registered yet"):
        await_certificate(token.netcode, other, 0.1, silent)


def test_a_token_that_was_withdrawn_makes_nobody_a_member_and_its_members_are_none(net):
    token, _ = net.authority.invite(name="machine")
    reread(net)
    pair = made()
    use_token(token, pair.public, "machine", WAIT_S)
    joined(token.netcode, pair, "machine")
    net.authority.withdraw(token.serial)
    reread(net)
    with pytest.raises(NotRegistered, match="do not know this token"):
        use_token(token, made().public, "machine", WAIT_S)
    with pytest.raises(NotRegistered):
        await_certificate(token.netcode, pair, 0.1, silent)


def test_a_token_is_for_its_name_only(net):
    token, _ = net.authority.invite(name="machine")
    reread(net)
    with pytest.raises(NotRegistered, match="not for this name"):
        use_token(token, made().public, "other", WAIT_S)


def test_the_holder_of_a_token_can_do_nothing_else(net):
    token, _ = net.authority.invite(name="machine", calls=["*"], observe=True)
    reread(net)
    pair = KeyPair(token.keys.curve_key, token.keys.curve_secret_key)
    with pytest.raises(NoBroker):
        await_certificate(token.netcode, pair, 0.1, silent)


def test_who_asks_is_a_member_once_the_operator_says_so(net):
    netcode, pair = net.authority.netcode(), made()
    said: list[str] = []
    heard = threading.Event()

    def on_wait(why):
        said.append(why)
        heard.set()

    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append(await_certificate(netcode, pair, WAIT_S, on_wait)))
    asking.start()
    assert heard.wait(WAIT_S)
    assert "operator" in said[0]
    net.authority.admit("late", Role.NODE, pair.public, serves=["echo"])
    asking.join(WAIT_S)
    assert found
    assert joined(netcode, pair, "late").certificate.serves == ("echo",)


def test_who_asks_where_no_broker_is_hears_why():
    place = BrokerPlace("b", made().public, ("tcp://127.0.0.1:1",))
    netcode = Netcode("0123456789abcdef", bytes(32), (place,))
    with pytest.raises(NoBroker, match="b: nothing answers there"):
        await_certificate(netcode, made(), 0.1, silent)
    said: list[str] = []
    with pytest.raises(NoBroker):
        await_certificate(netcode, made(), 1.2, said.append)
    assert said


# -- members whose file is older than what the net knows of them


@pytest.fixture
def moved(net, tmp_path):
    """Return the join file of a member that has got another name and other rights since."""
    file = load(net.authority.add_node("n1", serves=["echo"]))
    path = tmp_path / "n1.braid"
    file.write(path)
    net.authority.change("n1", serves=["echo", "pricing"])
    net.authority.rename("n1", "n9")
    reread(net)
    return path


def told(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_join_brings_the_file_of_a_member_up_to_date(net, moved):
    netcode = net.authority.netcode().encode()
    assert told("join", netcode, "n1", "--file", moved) == f"n9 is a member already: {moved}, which is up to date now\n"
    assert load(moved).certificate.serves == ("echo", "pricing")
    assert told("join", netcode, "n9", "--file", moved) == f"n9 is a member already: {moved}\n"


def failed(code, *arguments, **options):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)
    assert isinstance(result.exception, NotRegistered | NoBroker | ConfigError | SystemExit)
    assert exit_code(result.exception) == code
    return str(result.exception)


def test_join_leaves_the_file_of_a_member_that_was_revoked_and_says_what_to_do(net, moved):
    before = moved.read_bytes()
    net.authority.revoke(["n9"])
    reread(net)
    why = failed(ExitCode.DENIED, "join", net.authority.netcode().encode(), "n1", "--file", moved)
    assert "it was revoked, for good" in why
    assert "move this file away and repeat the command" in why
    assert moved.read_bytes() == before


@pytest.mark.nightly
def test_join_says_that_nobody_could_be_asked_about_a_member(net, moved):
    place = BrokerPlace("b", made().public, ("tcp://127.0.0.1:1",))
    netcode = Netcode(net.authority.net, net.authority.public_key, (place,)).encode()
    before = moved.read_bytes()
    said = told("join", netcode, "n1", "--file", moved)
    assert said == f"n1 is a member, says {moved}, and nobody could be asked whether it still is one\n"
    assert moved.read_bytes() == before


@pytest.mark.nightly
def test_who_was_removed_asks_again_with_the_key_that_it_has(net, moved):
    before, key = moved.read_bytes(), load(moved).public_key
    net.authority.remove(["n9"])
    reread(net)
    netcode = net.authority.netcode().encode()
    result = CliRunner().invoke(cli, ["join", netcode, "n1", "--file", str(moved), "--timeout", "0.1"])
    assert isinstance(result.exception, NotRegistered)
    code = RequestCode.decode(result.stdout.strip())
    assert (code.name, code.key) == ("n1", key)
    assert moved.read_bytes() == before, "it asks, and is none yet"
    net.authority.admit("n1", Role.NODE, key, serves=["other"])
    reread(net)
    assert told("join", netcode, "n1", "--file", moved) == f"n1 is a member already: {moved}, which is up to date now\n"
    assert load(moved).certificate.serves == ("other",)


@pytest.mark.nightly
def test_a_replica_that_was_gone_for_too_long_is_the_same_member_again(net, tmp_path):
    token, _ = net.authority.invite(prefix="replica-", uses=1, serves=["echo"], idle_s=1)
    reread(net)
    path = tmp_path / "r.braid"
    joining = ("join", token.encode(), "--file", path)
    told(*joining)
    first = load(path)
    ledgers = [broker._loop._ledger for broker in net.brokers.values()]
    wait_until(lambda: not any(ledger.member(first.public_key.hex()) for ledger in ledgers), WAIT_S)
    assert told(*joining) == f"{first.name} is a node of net {first.net} now: {path}\n"
    assert (load(path).name, load(path).public_key) == (first.name, first.public_key)


def test_a_token_that_has_ended_leaves_its_member_alone_and_makes_no_other(net, tmp_path, monkeypatch):
    token, _ = net.authority.invite(prefix="replica-", uses=2, serves=["echo"])
    reread(net)
    path = tmp_path / "r.braid"
    told("join", token.encode(), "--file", path)
    monkeypatch.setattr(joining_command, "time", SimpleNamespace(time=lambda: token.not_after + 1))
    assert "is a member already" in told("join", token.encode(), "--file", path)
    assert "has ended" in failed(ExitCode.USAGE, "join", token.encode(), "--file", tmp_path / "other.braid")
    assert not (tmp_path / "other.braid").exists()


def test_who_meets_another_net_hears_so(net):
    (broker, *_) = net.authority.netcode().brokers
    place = BrokerPlace(broker.name, made().public, broker.endpoints)
    with pytest.raises(NoBroker, match="is a broker of another net than this code's"):
        await_certificate(Netcode("f" * 16, bytes(32), (place,)), made(), 0.1, silent)
    with pytest.raises(NoBroker, match="another key than this code says: get a new code"):
        await_certificate(Netcode(net.authority.net, bytes(32), (place,)), made(), 0.1, silent)


def test_a_new_key_is_asked_for_under_the_name_that_the_member_has_now(net, moved):
    asking = threading.Thread(target=told, args=("join", "--rotate", "--file", moved, "--timeout", WAIT_S))
    asking.start()
    give_up_at = time.monotonic() + WAIT_S
    while (file := load(moved)).next_public_key is None:
        assert time.monotonic() < give_up_at, "no new key was made"
        time.sleep(0.02)
    assert file.name == "n9"
    net.authority.rotate("n9", file.next_public_key)
    reread(net)
    asking.join(WAIT_S)
    assert not asking.is_alive()
    assert load(moved).public_key == file.next_public_key
