"""The targets of `make fuzz` hold for bytes that hypothesis draws, and find what is broken."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fuzz.__main__ as runner
from braidmq.bridges.majordomo import wire as majordomo_wire
from braidmq.bridges.malamute import patterns as subjects
from braidmq.bridges.malamute import wire as malamute_wire
from braidmq.bridges.zgossip import wire as gossip_wire
from braidmq.carrier.fragments import Joiner
from braidmq.carrier.outbox import Outbox
from braidmq.members import Role
from braidmq.trust import certificate as certificates
from braidmq.trust import code_text as code_texts
from braidmq.trust import document as documents
from braidmq.trust import enrolment as enrolments_of_one
from braidmq.trust import joinfile as joinfiles
from braidmq.trust import manifest as manifests
from braidmq.trust import private_file as private_files
from braidmq.trust.enrolments import Enrolments
from braidmq.trust.invitation import Invitation
from braidmq.wire import nesting
from braidmq.wire.bundle import split
from braidmq.zmtp.clear import ClearEngine
from braidmq.zmtp.engine import Engine
from braidmq.zmtp.violation import Violation
from fuzz import (
    bundle,
    certificate,
    clear,
    codes,
    control,
    enrolment,
    enrolments,
    envelope,
    fragments,
    http,
    invitation,
    joinfile,
    majordomo,
    malamute,
    manifest,
    patterns,
    statefile,
    zgossip,
    zmtp,
)


@given(st.binary(max_size=300))
@example(b"")
def test_any_doings_of_a_peer_are_borne(doings):
    zmtp.one(doings)


@given(st.binary(max_size=2), st.lists(st.sampled_from(clear.SEEDS) | st.binary(max_size=40), max_size=4).map(b"".join))
def test_any_bytes_of_a_peer_without_keys_are_borne(how, data):
    clear.one(how + data)


@pytest.mark.parametrize("seed", clear.SEEDS)
def test_what_peers_without_keys_begin_with_comes_as_far_as_messages(seed):
    assert clear.one(seed) > 0


def test_engine_without_keys_whose_messages_depend_on_the_cut_is_found(patch_cores):
    drop = ClearEngine._drop
    patch_cores.setattr(ClearEngine, "_drop", lambda engine, at: drop(engine, len(engine._came) if engine.open else at))
    with pytest.raises(AssertionError, match="depends on how bytes are cut"):
        clear.one(bytes((4, 3)) + clear.SEEDS[4][2:])


def test_engine_without_keys_that_takes_a_message_of_any_length_is_found(patch_cores):
    init = ClearEngine.__init__

    def generous(engine, kind, *, bytes_max, frames_max, admits=None):
        init(engine, kind, bytes_max=10 * bytes_max, frames_max=frames_max, admits=admits)

    patch_cores.setattr(ClearEngine, "__init__", generous)
    with pytest.raises(AssertionError):
        clear.one(clear.SEEDS[5])


@given(st.binary(max_size=2), st.lists(st.sampled_from(http.SEEDS) | st.binary(max_size=40), max_size=4).map(b"".join))
def test_any_bytes_of_a_caller_of_http_are_borne(cut, data):
    http.one(cut + data)


def test_requests_to_begin_with_are_answered():
    assert [http.one(seed) for seed in http.SEEDS] == [1, 1, 1, 1]


@given(st.integers(0, 1), st.lists(st.integers(1, 7), max_size=12).map(bytes), st.binary(max_size=60))
def test_any_doings_behind_a_handshake_are_borne(side, order, more):
    zmtp.one(bytes((side,)) + b"\x01\x04\x00\x05\x00" + order + more)


@pytest.mark.parametrize("seed", zmtp.SEEDS[:2])
def test_doings_to_begin_with_come_as_far_as_frames_and_pings(seed):
    peer = zmtp.one(seed)
    assert peer.line.engine.open
    assert [frame[8:] for frame in peer.line.frames] == [b"hello"]
    assert peer.line.engine._got == 5


def test_engine_that_takes_a_frame_twice_is_found(patch_cores):
    receive = Engine.receive

    def forgetful(self, *given):
        try:
            return receive(self, *given)
        finally:
            if self.open:
                self._got = 2

    patch_cores.setattr(Engine, "receive", forgetful)
    with pytest.raises(AssertionError, match="twice"):
        zmtp.one(b"\x01\x01\x04\x00\x05\x00\x06\x00\x00\x01a\x02\x02")


def test_engine_that_raises_something_else_is_found(patch_cores):
    def stumble(*_):
        raise LookupError

    patch_cores.setattr(Engine, "_on_command", stumble)
    with pytest.raises(LookupError):
        zmtp.one(zmtp.SEEDS[0])


def test_engine_that_says_too_much_is_found(patch_cores):
    def talkative(self, command):
        self.output += bytes(2000)

    patch_cores.setattr(Engine, "_on_command", talkative)
    with pytest.raises(AssertionError, match="says more"):
        zmtp.one(zmtp.SEEDS[0])


def test_engine_that_opens_for_anybody_is_found(patch_cores):
    def credulous(self, *_):
        self.open = True
        raise Violation("but too late")

    patch_cores.setattr(Engine, "receive", credulous)
    with pytest.raises(AssertionError, match="proven nothing"):
        zmtp.one(zmtp.SEEDS[0])


@given(st.binary(max_size=200))
@example(b"")
def test_any_fragments_are_borne_and_any_order_is_kept(doings):
    fragments.one(doings)


def test_doings_to_begin_with_are_whole_messages_and_misdeeds():
    first, second, *others = [fragments.one(seed) for seed in fragments.SEEDS]
    assert not first[0].said
    assert not first[0].cut
    assert len(second[1].got) == 3
    assert all(hostile.cut for hostile, _ in others)


def test_joiner_that_takes_anything_is_found(patch_cores):
    patch_cores.setattr(Joiner, "add", lambda *_: None)
    for seed in fragments.SEEDS:
        with pytest.raises(AssertionError):
            fragments.one(seed)


def test_outbox_that_loses_something_is_found(patch_cores):
    take_bundle = Outbox.take_bundle
    patch_cores.setattr(Outbox, "take_bundle", lambda self: take_bundle(self)[:0])
    with pytest.raises(AssertionError, match="lost"):
        fragments.one(fragments.SEEDS[1])


# -- what foreign programs say to bridges

FOREIGN = (majordomo, malamute, patterns, zgossip)


@pytest.mark.parametrize("target", FOREIGN, ids=lambda target: target.__name__)
@given(data=st.data())
def test_any_doings_of_foreign_programs_are_borne(target, data):
    rows = st.lists(st.sampled_from(target.SEEDS) | st.binary(max_size=12), max_size=6)
    target.one(b"".join(data.draw(rows)))


@pytest.mark.parametrize("target", FOREIGN, ids=lambda target: target.__name__)
def test_doings_of_foreign_programs_to_begin_with_are_understood(target):
    assert all(target.one(seed) for seed in target.SEEDS)


def test_a_bridge_that_says_what_kills_a_program_of_malamute_is_found(monkeypatch):
    monkeypatch.setattr(malamute_wire, "PONG", malamute_wire.PING)
    with pytest.raises(AssertionError, match="stops for good"):
        malamute.one(malamute.SEEDS[0][:3] + bytes((1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)))


def test_a_bridge_that_speaks_another_dialect_is_found(monkeypatch):
    monkeypatch.setattr(majordomo_wire, "request", lambda dialect, token, body: [*dialect.front, b"\2", token, *body])
    with pytest.raises(AssertionError, match="does not bear"):
        majordomo.one(majordomo.SEEDS[0])


def test_tuples_that_are_written_otherwise_are_found(monkeypatch):
    monkeypatch.setattr(gossip_wire, "publish", lambda key, value: gossip_wire.HELLO)
    with pytest.raises(AssertionError, match="something else is written"):
        zgossip.one(zgossip.SEEDS[0])


def test_patterns_that_find_other_things_in_a_group_are_found(monkeypatch):
    read = subjects._Reader._choice

    def read_too_much(self):
        whole = read(self)
        return subjects._Part(True, whole.first, whole.last) if self._depth else whole

    monkeypatch.setattr(subjects._Reader, "_choice", read_too_much)
    with pytest.raises(AssertionError, match="a group changes it"):
        patterns.one(bytes((1,)) + b"x" + bytes((0, 1)) + b"a")


# -- what reads bytes and documents of others

READERS = (
    bundle, certificate, codes, control, enrolment, enrolments, envelope, invitation, joinfile, manifest, statefile,
)  # fmt: skip


@pytest.mark.parametrize("target", READERS, ids=lambda target: target.__name__)
@given(data=st.data())
def test_any_bytes_and_what_was_right_once_are_borne(target, data):
    right = data.draw(st.sampled_from(target.SEEDS))
    begin = data.draw(st.integers(0, len(right)))
    target.one(right[:begin] + data.draw(st.binary(max_size=20)) + right[begin + data.draw(st.integers(0, 20)) :])


@pytest.mark.parametrize(
    ("target", "right"),
    [
        *((bundle, each) for each in bundle.SEEDS[-3:]),
        *((certificate, each) for each in certificate.SEEDS[:2]),
        *((codes, each) for each in codes.SEEDS[:6]),
        *((control, each) for each in control.SEEDS[:20]),
        (enrolment, enrolment.SEEDS[0]),
        *((envelope, each) for each in envelope.SEEDS[:20]),
        *((invitation, each) for each in invitation.SEEDS[:2]),
        *((joinfile, each) for each in joinfile.SEEDS[:2]),
        *((manifest, each) for each in manifest.SEEDS[:3]),
        *((statefile, each) for each in statefile.SEEDS[:3]),
    ],
    ids=lambda each: "" if isinstance(each, bytes) else each.__name__,
)
def test_what_they_begin_with_is_read_as_what_it_is(target, right):
    assert target.one(right)


def test_the_doings_of_brokers_to_begin_with_come_as_far_as_members():
    counts = [len(broker.enrolments.members()) for seed in enrolments.SEEDS for broker in enrolments.one(seed)]
    assert max(counts) > 0


def stumble(*_args, **_keywords):
    raise LookupError


@pytest.mark.parametrize(
    ("target", "where", "name"),
    [
        (certificate, certificates, "check_net"),
        (manifest, manifests, "check_net"),
        (enrolment, enrolments_of_one, "check_name"),
        (codes, code_texts, "_content"),
        (joinfile, joinfiles, "check_net"),
        (statefile, private_files, "read"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_readers_that_raise_something_else_are_found(monkeypatch, target, where, name):
    monkeypatch.setattr(where, name, stumble)
    with pytest.raises(LookupError):
        target.one(target.SEEDS[0])


def test_whoever_takes_what_nobody_has_signed_is_found(monkeypatch):
    def credulous(_domain, blob, _key):
        return blob

    monkeypatch.setattr(documents, "open_signed", credulous)
    with pytest.raises(AssertionError, match="nobody has signed"):
        certificate.one(certificate.SEEDS[0])


def test_whoever_takes_a_name_that_is_not_invited_is_found(monkeypatch):
    enrol = enrolments_of_one.Enrolment

    def generous(statement, blob, invited):
        rights = {each: getattr(invited, each) for each in ("net", "serial", "calls", "serves", "observe")}
        return enrol(
            **rights, name=statement.name, role=Role.NODE, keys=(statement.key,), blob=blob, invitation=invited,
            made_at=statement.made_at,
        )  # fmt: skip

    monkeypatch.setattr(enrolments_of_one, "enrol", generous)
    enrolment.one(enrolment.SEEDS[0])
    with pytest.raises(AssertionError, match="not invited"):
        enrolment.one(enrolment.SEEDS[1])


def test_codes_whose_damage_nobody_sees_are_found(monkeypatch):
    monkeypatch.setattr(code_texts, "_digest", lambda *_: bytes(32))
    with pytest.raises(AssertionError, match="takes what is damaged"):
        codes.one(bytes((0, 50)) + codes.SEEDS[3][2:])


def test_brokers_that_do_not_agree_are_found(monkeypatch):
    monkeypatch.setattr(Enrolments, "_limit", lambda *_: None)
    with pytest.raises(AssertionError, match="keeps too much"):
        enrolments.one(bytes(each for number in range(20) for each in (0, 4 * number, 1)))


def test_names_of_invitations_that_they_do_not_cover_are_found(monkeypatch):
    monkeypatch.setattr(Invitation, "covers", lambda *_: False)
    with pytest.raises(AssertionError, match="not for"):
        invitation.one(invitation.SEEDS[0])


def test_bundles_that_come_out_otherwise_in_parts_are_found(monkeypatch):
    monkeypatch.setattr(bundle, "split", lambda frame: (split(frame)[0], True))
    with pytest.raises(AssertionError):
        bundle.one(b"\0\0\0\x05hello")


def test_envelopes_that_are_encoded_otherwise_are_found(monkeypatch):
    monkeypatch.setattr(envelope, "encode", lambda _: b"")
    with pytest.raises(AssertionError, match="something else"):
        envelope.one(envelope.SEEDS[0])


def test_control_messages_that_are_encoded_otherwise_are_found(patch_cores):
    def look(*_):
        raise LookupError

    patch_cores.setattr(nesting, "_look", look)
    with pytest.raises(LookupError):
        control.one(b"\0" + b"\x91" * 100)


# -- the runner


def test_every_target_is_there_and_is_one():
    for name in runner.TARGETS:
        target = sys.modules[f"fuzz.{name}"]
        assert target.SEEDS
        assert all(len(seed) <= target.BYTES_MAX for seed in target.SEEDS)


class Ran:
    """Processes of atheris that have ended at once."""

    def __init__(self, status, said):
        self.status = status
        self.commands = []
        self._said = said

    def __call__(self, command, *, stdout, **_):
        self.commands.append(command[-4:])
        stdout.write(self._said)
        return self

    def poll(self):
        return self.status

    def terminate(self):
        """It has ended already."""

    wait = terminate


STATS = b"stat::number_of_executed_units: 1234\nstat::average_exec_per_sec:     56\n"


@pytest.mark.parametrize(
    ("status", "said", "well"), [(0, STATS, True), (77, STATS, False), (1, b"No module", False), (0, b"", False)]
)
def test_what_came_of_a_target_is_told(monkeypatch, tmp_path, capsys, *, status, said, well):
    monkeypatch.chdir(tmp_path)
    ran = Ran(status, said)
    monkeypatch.setattr(subprocess, "Popen", ran)
    assert runner.run("codes", 60, -1) is well
    assert ran.commands == [["codes", "60", "-1", "build/fuzz/codes"]]
    told = capsys.readouterr().out
    assert ("1234 executions, 56 a second" in told) == well
    assert ("FOUND SOMETHING" in told) != well


def test_jobs_share_the_runs_and_what_they_find(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    ran = Ran(0, STATS)
    monkeypatch.setattr(subprocess, "Popen", ran)
    assert runner.run("codes", 60, 100, 3)
    assert ran.commands == [["codes", "60", share, "build/fuzz/codes"] for share in ("33", "33", "34")]
    assert "3702 executions, 168 a second" in capsys.readouterr().out
    assert {each.name for each in runner.FOLDER.iterdir()} == {"codes.log", "codes.2.log", "codes.3.log"}


def test_a_job_that_finds_something_ends_the_others(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    popen = subprocess.Popen

    def start(command, **files):
        second = (runner.FOLDER / "codes.2.log").exists()
        code = "print('it failed'); raise SystemExit(77)" if second else "import time; time.sleep(600)"
        return popen([command[0], "-c", code], **files)

    monkeypatch.setattr(subprocess, "Popen", start)
    assert not runner.run("codes", 0, 100, 2)
    told = capsys.readouterr().out
    assert "FOUND SOMETHING, or did not run: see build/fuzz/codes.2.log\nit failed" in told


def test_targets_run_in_turn_and_the_exit_code_tells_of_any_that_found_something(monkeypatch):
    ran = []
    monkeypatch.setattr(runner, "run", lambda target, *_: ran.append(target) or target != "codes")
    for asked, status, targets in (
        (["60"], 1, list(runner.TARGETS)),
        (["60", "bundle", "control"], 0, ["bundle", "control"]),
        (["60", "bundel"], 2, []),
    ):
        ran.clear()
        monkeypatch.setattr(sys, "argv", ["fuzz", *asked])
        with pytest.raises(SystemExit) as ended:
            runner.main()
        assert (ended.value.code, ran) == (status, targets)
