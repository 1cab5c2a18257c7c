import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey

from braidmq.carrier.trusted import keyring_of, verifier
from braidmq.core.client.call import Call
from braidmq.core.proofs import Checker, Prover
from braidmq.errors import ProtocolError
from braidmq.members import Role
from braidmq.trust import enrolment, invitation, joinfile
from braidmq.trust.authority import Authority
from braidmq.trust.certificate import Certificate, Claims, issue
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.envelope import Envelope, decode
from braidmq.wire.extension import Field, field_of
from tests.support import tokens

IDENTITY = JoinFile(
    secret_key=tokens.MEMBER_SECRET, certificate=tokens.MEMBER, authority_key=tokens.AUTHORITY, brokers=(tokens.BROKER,)
)

VECTORS = Path(__file__).parents[2] / "vectors"
EXCHANGE = {each["name"]: each for each in json.loads((VECTORS / "exchange.json").read_text(encoding="utf-8"))}
PROOFS = json.loads((VECTORS / "proof.json").read_text(encoding="utf-8"))


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "net")


@pytest.fixture
def nodes(authority):
    """A caller and a worker, by their join files."""
    return [joinfile.load(authority.add_node(name, ["s"], ["s"])) for name in ("caller", "worker")]


def test_both_have_the_same_secret(nodes):
    caller, worker = (keyring_of(identity) for identity in nodes)
    assert caller.agree(worker.public_key) == worker.agree(caller.public_key)
    assert caller.agree(caller.public_key) != caller.agree(worker.public_key)


@pytest.mark.parametrize("key", [bytes(32), bytes((1,)).ljust(32, b"\0")])
def test_point_that_makes_one_secret_with_every_key_is_no_key(key, nodes):
    with pytest.raises(ProtocolError):
        keyring_of(nodes[0]).agree(key)


def test_certificates_of_this_net_are_believed_and_no_others(nodes, tmp_path):
    caller, worker = (keyring_of(identity) for identity in nodes)
    certified = caller.verify(worker.certificate, b"")
    assert (certified.member.name, certified.keys) == ("worker", (worker.public_key,))
    foreign = joinfile.load(Authority.create(tmp_path / "other").add_node("worker", ["s"], ["s"]))
    with pytest.raises(ProtocolError):
        caller.verify(keyring_of(foreign).certificate, b"")


def test_enrolment_is_believed_with_the_invitation_that_it_relies_on_and_no_other():
    caller = keyring_of(IDENTITY)
    invited = tokens.INVITATION.blob
    for named in (False, True):
        if named:
            invited = tokens.invite(name="replica-1", prefix="").blob
        certified = caller.verify(tokens.enrol(1), invited)
        assert certified.member.name == "replica-1"
        assert certified.member.may_serve("orders.new")
        assert not certified.member.may_serve("pricing")
        assert (certified.keys, certified.serial) == ((tokens.member_key(1),), 7)
        assert (certified.made_at, certified.chosen) == (tokens.NOW, not named)
    for wrong in (b"", tokens.other_invite().blob, invited[:-1], tokens.enrol(1)):
        with pytest.raises(ProtocolError):
            caller.verify(tokens.enrol(1), wrong)
    with pytest.raises(ProtocolError):
        caller.verify(tokens.MEMBER.blob, invited)


def test_enrolled_worker_proves_with_its_enrolment_and_invitation():
    own = enrolment.verify(tokens.enrol(1), tokens.INVITATION)
    keyring = keyring_of(IDENTITY, own)
    assert (keyring.certificate, keyring.invitation) == (own.blob, tokens.INVITATION.blob)
    assert keyring_of(IDENTITY).invitation == b""


def test_nodes_are_no_brokers(nodes):
    identity = nodes[0]
    with pytest.raises(ProtocolError, match="is a node"):
        verifier(identity.authority_key, identity.net)(identity.certificate.blob)


@dataclass
class Member:
    """What a member of a vector has; the certificate of its caller is not told."""

    secret_key: bytes
    certificate: Certificate
    authority_key: bytes
    net: str

    @property
    def public_key(self) -> bytes:
        return bytes(PrivateKey(self.secret_key).public_key)


def member_of(vector, who, certificate):
    return Member(
        bytes.fromhex(vector[f"{who}_secret_key"]), certificate, bytes.fromhex(vector["authority_key"]), vector["net"]
    )


@pytest.mark.parametrize("vector", PROOFS, ids=[each["name"] for each in PROOFS])
def test_proof_is_as_the_vector_says(vector):
    request, reply = (decode(bytes.fromhex(EXCHANGE[vector[which]]["hex"])) for which in ("request", "reply"))
    proof = field_of(reply.extension, Field.PROOF)
    invited = field_of(reply.extension, Field.INVITATION) or b""
    assert proof is not None
    unused = issue(Claims(net=vector["net"], serial=1, name="unused", role=Role.NODE, keys=(bytes(32),)), bytes(32))
    caller = keyring_of(member_of(vector, "caller", unused))
    certified = caller.verify(proof[16:], invited)
    assert certified.member.name == vector["worker"]
    assert certified.keys == (bytes.fromhex(vector["worker_public_key"]),)
    assert caller.agree(certified.keys[0]).hex() == vector["secret"]
    assert proof[:16].hex() == vector["tag"]
    call = Call(request.id, request.service, request.payload, request.extension, 9.0, 1, None, None, 0, 0.0)
    assert Checker(caller, vector["caller"]).flaw_of(call, reply) == ""
    empty: dict[str, Any] = dict.fromkeys(Claims.__struct_fields__, ())
    own = member_of(vector, "worker", Certificate(blob=proof[16:], **empty))
    if invited:
        known = invitation.verify(invited, own.authority_key, own.net)
        own = member_of(vector, "worker", enrolment.verify(proof[16:], known))
    seen = Envelope(
        request.command, request.id, service=request.service, sender=vector["caller"].encode(),
        extension=request.extension, payload=request.payload,
    )  # fmt: skip
    assert Prover(keyring_of(own), vector["worker"]).prove(seen, reply.code, reply.payload) == reply.extension
