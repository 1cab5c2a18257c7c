from typing import Any

import pytest

from braidmq.core import proofs
from braidmq.core.client.call import Call
from braidmq.core.proofs import CALLERS_MAX, CERTIFICATES_MAX, Certified, Checker, Keyring, Prover, tag_of
from braidmq.errors import AttemptsExhausted, ConfigError, ProtocolError, ServiceError
from braidmq.lab.simulation.registry import keyring_of
from braidmq.members import Member, Role
from braidmq.settings import Settings
from braidmq.wire.envelope import REPLY, REQUEST, Envelope
from braidmq.wire.extension import Field, encode_headers, field_of, pack_field
from tests.support.rigs.calls import error_of, flagged, reply_of
from tests.support.rigs.node_rig import NODE, Broker, answer_to

NODES = {"worker": ("echo",), NODE: ("echo",), "client": (), "other": ("another",)}
CAREFUL = Settings(authenticate_replies="always")
ID = bytes(range(16))


def call_of(payload: bytes = b"ping", headers: dict[str, str] | None = None) -> Call:
    return Call(ID, b"echo", payload, encode_headers(headers or {}) + checker().field, 9.0, 3, None, None, 0, 0.0)


def checker(keyring: Keyring | None = None) -> Checker:
    return Checker(keyring or keyring_of("client", NODES), "client")


def prover(name: str = "worker") -> Prover:
    return Prover(keyring_of(name, NODES), name)


def request_of(call: Call) -> Envelope:
    """The request of a call as a worker gets it."""
    return Envelope(
        REQUEST, call.id, service=call.service, sender=b"client", extension=call.extension, payload=call.payload
    )


def proved(call: Call, payload: bytes = b"pong", code: int = 0, *, name: str = "worker") -> Envelope:
    """A reply as its worker gives it."""
    extension = prover(name).prove(request_of(call), code, payload)
    return Envelope(REPLY, call.id, sender=name.encode(), code=code, extension=extension, payload=payload)


class TestTag:
    def test_each_part_changes_it(self) -> None:
        parts: dict[str, Any] = {
            "secret": bytes(32), "id_": ID, "service": b"s", "caller": b"c", "worker": b"w", "code": 0, "headers": b"h",
            "request": b"q", "reply": b"r",
        }  # fmt: skip
        tags = {tag_of(**parts)}
        for name, value in parts.items():
            tags.add(tag_of(**{**parts, name: 1 if name == "code" else value[:-1] + b"x"}))
        assert len(tags) == 1 + len(parts)

    def test_nothing_moves_from_one_part_to_the_next(self) -> None:
        assert tag_of(bytes(32), ID, b"ab", b"c", b"w", 0, b"", b"", b"") != tag_of(
            bytes(32), ID, b"a", b"bc", b"w", 0, b"", b"", b""
        )
        assert tag_of(bytes(32), ID, b"s", b"c", b"w", 0, b"h", b"", b"") != tag_of(
            bytes(32), ID, b"s", b"c", b"w", 0, b"", b"h", b""
        )
        assert tag_of(bytes(32), ID, b"s", b"c", b"w", 0, b"", b"qr", b"") != tag_of(
            bytes(32), ID, b"s", b"c", b"w", 0, b"", b"q", b"r"
        )


class TestWorker:
    def test_proves_nothing_that_nobody_asks_for(self) -> None:
        request = Envelope(REQUEST, ID, sender=b"client", extension=encode_headers({"a": "b"}))
        assert prover().prove(request, 0, b"") == b""

    @pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
    def test_no_key_gets_no_proof(self, key: bytes) -> None:
        request = Envelope(REQUEST, ID, sender=b"client", extension=pack_field(Field.PROOF, key))
        assert prover().prove(request, 0, b"") == b""

    def test_malformed_block_gets_no_proof(self) -> None:
        assert prover().prove(Envelope(REQUEST, ID, sender=b"client", extension=b"\x01"), 0, b"") == b""

    def test_key_that_makes_no_secret_gets_no_proof(self) -> None:
        def agree(_key: bytes) -> bytes:
            raise ProtocolError("no key")

        real = keyring_of("worker", NODES)
        worker = Prover(Keyring(real.certificate, real.public_key, agree, real.verify), "worker")
        assert worker.prove(request_of(call_of()), 0, b"") == b""

    def test_makes_a_secret_once_for_each_caller(self) -> None:
        real, asked = keyring_of("worker", NODES), []

        def agree(key: bytes) -> bytes:
            asked.append(key)
            return real.agree(key)

        worker = Prover(Keyring(real.certificate, real.public_key, agree, real.verify), "worker")
        for key in (b"a", b"a", b"b"):
            for sender in (b"c1", b"c2"):
                extension = pack_field(Field.PROOF, key.ljust(32))
                worker.prove(Envelope(REQUEST, ID, sender=sender, extension=extension), 0, b"")
        assert asked == [b"a".ljust(32)] * 2 + [b"b".ljust(32)] * 2

    def test_what_it_keeps_of_callers_is_bounded(self) -> None:
        worker = prover()
        for number in range(CALLERS_MAX + 10):
            extension = pack_field(Field.PROOF, number.to_bytes(32))
            worker.prove(Envelope(REQUEST, ID, sender=str(number).encode(), extension=extension), 0, b"")
        worker.validate_state()


class TestCaller:
    def test_believes_what_is_proved(self) -> None:
        checks = checker()
        for call in (call_of(), call_of(b"", {"a": "b"})):
            assert checks.flaw_of(call, proved(call)) == ""
            assert checks.flaw_of(call, proved(call, b"\x80", 1)) == ""
        checks.validate_state()

    @pytest.mark.parametrize("name", ["sender", "code", "payload", "extension"])
    def test_believes_no_changed_reply(self, name: str) -> None:
        call = call_of()
        reply = proved(call)
        setattr(reply, name, {"sender": NODE.encode(), "code": 1, "payload": b"pond", "extension": b""}[name])
        assert checker().flaw_of(call, reply)

    def test_believes_no_reply_to_another_request(self) -> None:
        call, checks = call_of(), checker()
        for name, value in (
            ("payload", b"pinG"), ("id", bytes(16)), ("service", b"echO"), ("sender", b"node"),
            ("extension", checks.field), ("extension", encode_headers({"a": "c"}) + checks.field),
        ):  # fmt: skip
            call = call_of(headers={"a": "b"})
            request = request_of(call)
            setattr(request, name, value)
            reply = proved(call)
            reply.extension = prover().prove(request, 0, reply.payload)
            assert checks.flaw_of(call, reply), f"{name} was changed"

    def test_field_that_a_further_attempt_adds_changes_nothing(self) -> None:
        call = call_of(headers={"a": "b"})
        request, reply = request_of(call), proved(call)
        request.extension += pack_field(Field.AVOID, b"8 bytes.worker")
        assert prover().prove(request, 0, reply.payload) == reply.extension

    def test_believes_nobody_who_may_not_serve(self) -> None:
        call = call_of()
        assert "may not provide" in checker().flaw_of(call, proved(call, name="other"))

    def test_believes_no_certificate_of_a_stranger(self) -> None:
        call = call_of()
        reply = proved(call)
        reply.extension = pack_field(Field.PROOF, bytes(16) + b"stranger")
        reply.sender = b"stranger"
        assert "not signed" in checker().flaw_of(call, reply)

    def test_believes_nobody_with_the_certificate_of_another(self) -> None:
        call = call_of()
        reply = proved(call)
        reply.sender = b"boss"
        assert checker().flaw_of(call, reply) == "it comes with the certificate of worker"

    @pytest.mark.parametrize("proof", [b"", bytes(15), bytes(16)])
    def test_proof_without_a_certificate_is_none(self, proof: bytes) -> None:
        call = call_of()
        reply = proved(call)
        reply.extension = pack_field(Field.PROOF, proof)
        assert checker().flaw_of(call, reply)

    def test_knows_no_more_workers_than_it_may(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr(proofs, "WORKERS_MAX", 1)
        checks, call = checker(), call_of()
        for name in ("worker", NODE, "worker"):
            assert checks.flaw_of(call, proved(call, name=name)) == ""
            checks.validate_state()


class Authority:
    """Certificates of one worker that can be replaced: each is its number and its key."""

    def __init__(self) -> None:
        self.checked = 0

    def keyring(self, serial: int, own: bytes, others: bytes = b"") -> Keyring:
        """A member's keys: the one it uses, and all in its certificate."""

        def agree(key: bytes) -> bytes:
            return bytes(sorted(own[:1] + key[:1])).ljust(32)

        return Keyring(bytes((serial,)) + (others or own), own.ljust(32), agree, self.verify)

    def enrolled(self, serial: int, made_at: int, chosen: int, own: bytes) -> Keyring:
        """A member's keys; unless they are zero, an invitation says when its enrolment was made, and who named it."""
        keyring = self.keyring(serial, own)
        invitation = bytes((made_at, chosen)) if made_at or chosen else b""
        return Keyring(keyring.certificate, keyring.public_key, keyring.agree, keyring.verify, invitation)

    def verify(self, certificate: bytes, invitation: bytes) -> Certified:
        self.checked += 1
        keys = tuple(bytes((key,)).ljust(32) for key in certificate[1:])
        made_at, chosen = invitation or (0, 0)
        member = Member("worker", Role.NODE, serves=("echo",))
        return Certified(member, certificate[0], keys, made_at=made_at, chosen=bool(chosen))


class TestNewKeys:
    def flaw(self, checks: Checker, keyring: Keyring) -> str:
        call = call_of()
        call.extension = checks.field
        reply = proved(call)
        reply.extension = Prover(keyring, "worker").prove(request_of(call), 0, reply.payload)
        return checks.flaw_of(call, reply)

    def test_old_key_counts_until_a_newer_certificate_has_it_no_more(self) -> None:
        net = Authority()
        checks = checker(net.keyring(1, b"c"))
        old, both, new = net.keyring(1, b"a"), net.keyring(2, b"b", b"ab"), net.keyring(3, b"b")
        assert [self.flaw(checks, keyring) for keyring in (old, both, old, new)] == [""] * 4
        assert "not its worker's" in self.flaw(checks, old)
        assert self.flaw(checks, new) == ""

    def test_certificate_that_is_known_is_not_checked_again(self) -> None:
        net = Authority()
        checks = checker(net.keyring(1, b"c"))
        both = net.keyring(1, b"a"), net.keyring(2, b"b", b"ab")
        for keyring in both * 3:
            assert self.flaw(checks, keyring) == ""
        assert net.checked == CERTIFICATES_MAX + 1 == 3

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            pytest.param((1, 0, 0), (2, 0, 0), id="two certificates"),
            pytest.param((3, 5, 0), (3, 6, 0), id="two enrolments for one name"),
            pytest.param((3, 9, 0), (4, 1, 0), id="enrolments by two tokens"),
            pytest.param((3, 5, 1), (3, 6, 1), id="two enrolments with a chosen name"),
            pytest.param((3, 5, 0), (4, 0, 0), id="who was enrolled is registered"),
            pytest.param((3, 0, 0), (4, 5, 0), id="who was registered is enrolled"),
            pytest.param((8, 5, 1), (3, 0, 0), id="somebody has chosen the name of who is registered"),
        ],
    )
    def test_of_two_with_one_name_the_one_that_counts_more_replaces_the_other_for_good(
        self, before: tuple[int, int, int], after: tuple[int, int, int]
    ) -> None:
        net = Authority()
        checks = checker(net.keyring(1, b"c"))
        old, new = net.enrolled(*before, b"a"), net.enrolled(*after, b"b")
        assert [self.flaw(checks, keyring) for keyring in (old, new)] == [""] * 2
        for _ in range(2):
            assert "not its worker's" in self.flaw(checks, old)
            assert self.flaw(checks, new) == ""

    def test_enrolment_is_known_by_its_invitation_too(self) -> None:
        net = Authority()
        checks = checker(net.keyring(1, b"c"))
        own = net.enrolled(3, 5, 0, b"a")
        other = Keyring(own.certificate, own.public_key, own.agree, own.verify, net.enrolled(3, 6, 0, b"a").invitation)
        assert [self.flaw(checks, keyring) for keyring in (own, other) * 3] == [""] * 6
        assert net.checked == CERTIFICATES_MAX + 1

    def test_knows_no_more_certificates_of_one_worker_than_it_may(self) -> None:
        net = Authority()
        checks = checker(net.keyring(1, b"c"))
        for serial in (5, 4, 3, 2, 6):
            assert self.flaw(checks, net.keyring(serial, b"a")) == ""
            checks.validate_state()


class TestCalls:
    def asking(self, make: Any, *names: str) -> Any:
        return make(*names, settings=CAREFUL, keyring=keyring_of(NODE, NODES))

    def prove(self, broker: Broker, request: Envelope, payload: bytes = b"pong", code: int = 0) -> None:
        seen = Envelope(
            REQUEST, request.id, service=request.service, sender=NODE.encode(), extension=request.extension,
            payload=request.payload,
        )  # fmt: skip
        extension = prover().prove(seen, code, payload)
        broker.say(answer_to(request, REPLY, payload=payload, code=code, extension=extension))

    def test_proved_reply_ends_the_call(self, make: Any) -> None:
        rig = self.asking(make, "a")
        id_ = rig.call(headers={"a": "b"})
        self.prove(rig["a"], rig["a"].request())
        assert reply_of(rig, id_).payload == b"pong"
        assert rig.client.unproven == 0

    def test_proved_error_ends_the_call(self, make: Any) -> None:
        rig = self.asking(make, "a")
        id_ = rig.call()
        self.prove(rig["a"], rig["a"].request(), b"\x81\xa4code\xa1X", 1)
        assert isinstance(error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True), ServiceError)

    def test_unproved_reply_counts_as_a_loss(self, make: Any) -> None:
        rig = self.asking(make, "a", "b")
        id_ = rig.call()
        liar, request = rig.attempt()
        liar.reply(request, b"forged")
        assert id_ not in rig.results
        rig.advance(1.0)
        honest, again = rig.attempt()
        assert honest is not liar
        assert flagged(again)
        self.prove(honest, again)
        assert reply_of(rig, id_).payload == b"pong"
        assert rig.client.unproven == 1

    def test_call_that_only_liars_answer_ends_as_lost(self, make: Any) -> None:
        rig = self.asking(make, "a", "b")
        id_ = rig.call(attempts=2)
        for _ in range(2):
            liar, request = rig.attempt()
            liar.reply(request, b"forged")
            rig.advance(1.0)
        error_of(rig, id_, AttemptsExhausted, attempts=2, maybe_executed=True)

    def test_unproved_answer_to_an_earlier_attempt_ends_only_that(self, make: Any) -> None:
        rig = self.asking(make, "a", "b")
        id_ = rig.call()
        silent, request = rig.attempt()
        rig.advance(CAREFUL.exchange_timeout_s + 1.0)
        other, again = rig.attempt()
        silent.reply(request, b"forged")
        assert id_ not in rig.results
        self.prove(other, again)
        assert reply_of(rig, id_).payload == b"pong"

    def test_a_liar_is_told_of_once(self, make: Any) -> None:
        rig = self.asking(make, "a")
        for _ in range(3):
            rig.call(attempts=1)
            rig["a"].reply(rig["a"].request(), b"forged")
        (warning,) = [line for line in rig.warnings if "refused" in line]
        assert "a brings a reply of 'worker' to echo that is refused: it has no proof" in warning
        assert rig.client.unproven == 3

    def test_a_liar_that_is_forgotten_is_forgotten(self, make: Any) -> None:
        rig = self.asking(make, "a", "b")
        rig.call(attempts=1, via="a")
        rig["a"].reply(rig["a"].request(), b"forged")
        rig.core.links.forget(rig["a"].link, rig.now)
        rig.advance(0.1)
        assert "a" not in rig.core.links.links

    def test_requests_ask_for_nothing_by_default(self, make: Any) -> None:
        rig = make("a", keyring=keyring_of(NODE, NODES))
        rig.call()
        assert rig["a"].request().extension == b""

    def test_needs_keys(self, make: Any) -> None:
        with pytest.raises(ConfigError, match="needs the keys"):
            make("a", settings=CAREFUL)


class TestJobs:
    def test_worker_proves_its_replies_to_those_who_ask(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, keyring=keyring_of(NODE, NODES))
        call = call_of()
        rig["a"].ask(1, payload=call.payload, extension=call.extension)
        rig["a"].ask(2, payload=call.payload)
        for job in list(rig.jobs):
            rig.finish(job, b"pong")
        asked, unasked = rig["a"].take(REPLY)
        assert field_of(asked.extension, Field.PROOF)
        assert unasked.extension == b""

    def test_request_without_the_wish_for_a_proof_is_another_one(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, keyring=keyring_of(NODE, NODES))
        call = call_of()
        rig["a"].ask(1, payload=call.payload)
        rig["a"].ask(1, payload=call.payload, extension=call.extension)
        for job in list(rig.jobs):
            rig.finish(job, b"pong")
        unasked, asked = rig["a"].take(REPLY)
        assert unasked.extension == b""
        assert field_of(asked.extension, Field.PROOF)

    def test_proof_counts_for_no_payload(self, make: Any) -> None:
        settings = Settings(payload_bytes_max=1024)
        rig = make("a", serves={"echo": 4}, settings=settings, keyring=keyring_of(NODE, NODES))
        call = call_of()
        rig["a"].ask(1, payload=call.payload, extension=call.extension)
        rig.finish(rig.jobs[0], bytes(1024))
        rig["a"].ask(1, payload=call.payload, extension=call.extension, retry_count=1)
        assert [len(reply.payload) for reply in rig["a"].take(REPLY)] == [1024, 1024]

    def test_reply_that_is_remembered_keeps_its_proof(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, keyring=keyring_of(NODE, NODES))
        call = call_of()
        rig["a"].ask(1, payload=call.payload, extension=call.extension)
        rig.finish(rig.jobs[0], b"pong")
        rig["a"].ask(1, payload=call.payload, extension=call.extension, retry_count=1)
        first, again = rig["a"].take(REPLY)
        assert first.extension == again.extension != b""
