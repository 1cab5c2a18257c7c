"""``revoke`` of members that tokens have made: what brokers may say, and what becomes of it."""

import time

import pytest
from click.testing import CliRunner

from braidmq import stderr
from braidmq.claims import Answers
from braidmq.cli import cli, run
from braidmq.cli.net import claiming
from braidmq.trust import enrolment
from braidmq.trust.authority import Authority
from braidmq.trust.enrolment import Statement
from braidmq.trust.joinfile import load
from braidmq.wire.limits import CLAIMS_ASKED_MAX
from tests.support.tokens import member_key


class Net:
    """An authority with a token, and brokers that say what a test has them say."""

    def __init__(self, directory, monkeypatch):
        self.authority = Authority.create(directory, operator=True)
        self.authority.add_broker("b1", ["tcp://127.0.0.1:1"])
        self.token, _ = self.authority.invite(prefix="replica-", uses=4, idle_s=100)
        self.answers = Answers(("b1",), {}, "")
        self.asked = []
        monkeypatch.setattr(claiming, "ask", self.ask)

    def ask(self, identity, manifest, names, *, wait_s):
        assert identity.certificate.observe
        assert wait_s > 0
        self.asked.append((manifest.version, list(names)))
        return self.answers

    def claim(self, number, name="", key=b""):
        said = Statement(
            net=self.authority.net,
            invitation=self.token.serial,
            name=name or f"replica-{number}",
            key=key or member_key(number),
            made_at=int(time.time()),
        )
        return enrolment.issue(said, self.token.keys.signing_seed)

    def tell(self, **claims):
        """Let the brokers say who claims names, with _ for each -."""
        self.answers = Answers(
            ("b1",), {name.replace("_", "-"): [(blob, 5) for blob in blobs] for name, blobs in claims.items()}, ""
        )

    @property
    def revoked(self):
        return {each.name: each.key for each in self.authority.manifest().extras.revoked}


@pytest.fixture
def net(tmp_path, monkeypatch):
    return Net(tmp_path / "net", monkeypatch)


def told(net, *arguments):
    """Run a command that succeeds; return what it wrote to stdout, or to stderr if that is nothing."""
    result = CliRunner().invoke(cli, [*arguments, "--net", str(net.authority.directory), "--no-publish"])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(net, capfd, *arguments):
    """Run a command that fails; return its exit code and its one line, once it has changed nothing."""
    before = net.authority.manifest()
    code = run([*arguments, "--net", str(net.authority.directory), "--no-publish"])
    stderr.flush()
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert net.authority.manifest() == before
    return int(code), said.err


def test_one_that_a_token_has_made_and_one_that_is_registered_are_revoked_together(net):
    net.authority.add_node("n1")
    key = load(net.authority.directory / "n1.braid").public_key
    net.tell(replica_1=[net.claim(1)])
    before = net.authority.manifest().version
    assert told(net, "revoke", "n1", "replica-1").splitlines() == [
        "Revoked node n1.",
        f"Revoked replica-1, which token.{net.token.serial} had made.",
    ]
    assert net.asked == [(before, ["replica-1"])]
    assert net.revoked == {"n1": key, "replica-1": member_key(1)}
    assert net.authority.manifest().version == before + 1


def test_all_keys_that_claim_the_name_are_revoked(net):
    net.tell(replica_1=[net.claim(1), net.claim(2, name="replica-1")])
    told(net, "revoke", "replica-1")
    assert {each.key for each in net.authority.manifest().extras.revoked} == {member_key(1), member_key(2)}


def test_a_broker_that_lies_has_no_key_revoked_that_was_not_asked_for(net, capfd):
    net.authority.add_node("n1")
    key = load(net.authority.directory / "n1.braid").public_key
    net.tell(replica_1=[b"x", net.claim(2), net.claim(1, key=key)], replica_2=[net.claim(2)])
    code, why = refused(net, capfd, "revoke", "replica-1")
    assert code == 2
    assert "no broker knows such a member that a token has made" in why


def test_a_name_that_no_token_can_have_made_is_not_asked_for(net, capfd):
    code, why = refused(net, capfd, "revoke", "n9")
    assert (code, net.asked) == (2, [])
    assert why == "braidmq: nobody is registered as 'n9': `braidmq list` shows who is\n"


def test_where_no_broker_answers_it_is_said_that_the_net_must_be_asked(net, capfd):
    net.answers = Answers((), {}, "b1: nothing answers there")
    code, why = refused(net, capfd, "revoke", "replica-1")
    assert code == 1
    assert "only the running net knows the key" in why
    assert why.endswith("and no broker answers (b1: nothing answers there)\n")


def test_brokers_that_do_not_look_for_names_are_told(net, capfd):
    code, why = refused(net, capfd, "revoke", "replica-1")
    assert code == 1
    assert "of an older version, or busy" in why


def test_who_is_revoked_already_is_told(net, capfd):
    net.tell(replica_1=[net.claim(1)])
    told(net, "revoke", "replica-1")
    code, why = refused(net, capfd, "revoke", "replica-1")
    assert code == 2
    assert "'replica-1' is revoked already" in why


def test_more_keys_than_an_honest_net_has_are_none_to_revoke_one_by_one(net, capfd):
    net.tell(replica_1=[net.claim(number, name="replica-1") for number in range(1, claiming.KEYS_MAX + 2)])
    code, why = refused(net, capfd, "revoke", "replica-1")
    assert code == 2
    assert f"withdraw what has made them, token {net.token.serial}" in why


def test_as_many_are_revoked_at_a_time_as_can_be_asked_for(net, capfd):
    names = [f"replica-{number}" for number in range(CLAIMS_ASKED_MAX + 1)]
    code, why = refused(net, capfd, "revoke", *names)
    assert (code, net.asked) == (2, [])
    assert f"at most {CLAIMS_ASKED_MAX} at a time" in why


def test_nobody_can_ask_without_the_file_of_a_member_that_may(net, capfd):
    (net.authority.directory / "operator.braid").unlink()
    code, why = refused(net, capfd, "revoke", "replica-1")
    assert (code, net.asked) == (2, [])
    assert "no member that may observe has its join file" in why


def test_remove_says_what_to_do_with_a_member_that_a_token_may_have_made(net, capfd):
    code, why = refused(net, capfd, "remove", "replica-1")
    assert (code, net.asked) == (2, [])
    assert "`braidmq revoke replica-1` takes it out" in why
    assert f"`braidmq withdraw {net.token.serial}`" in why


def displaced(net, name, **rights):
    before = net.authority.manifest()
    net.authority.add_node(name, **rights)
    return [each.key for each in claiming.displaced(net.authority, before, net.authority.manifest())]


def test_who_loses_its_name_is_told_if_it_was_a_member(net):
    net.tell(replica_1=[net.claim(1), net.claim(2, name="replica-1")], other=[net.claim(3, name="replica-3")])
    assert displaced(net, "replica-1") == [member_key(1)]
    net.answers = Answers(("b1",), {"replica-2": [(net.claim(2), 101)]}, "")
    assert displaced(net, "replica-2") == [], "it was gone for too long"
    net.asked.clear()
    assert displaced(net, "orders") == []
    assert net.asked == []
