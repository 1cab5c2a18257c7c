"""Brokers whose certificate is another one than that of their join file: they were given another name or endpoint."""

import logging
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from nacl.public import PrivateKey

from braidmq.carrier.asking import Asking
from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.core.links.link import Failure, Open
from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings
from braidmq.trust import brokerstate, joinfile
from braidmq.trust.authority import Authority
from braidmq.trust.brokerstate import State
from braidmq.zmtp.handshake import KeyPair

WAIT_S = 20.0


@pytest.fixture
def places():
    return [f"tcp://{HOST}:{port}" for port in free_ports(2)]


@pytest.fixture
def authority(tmp_path, places):
    authority = Authority.create(tmp_path / "net")
    authority.add_broker("b1", places[:1])
    return authority


@pytest.fixture
def join(tmp_path, authority):
    """Return the broker's join file as it was copied to its machine."""
    return shutil.copy2(authority.directory / "b1.braid", tmp_path / "b1.braid")


@contextmanager
def running(loop):
    """Let a broker serve in a thread of its own."""
    loop.open()
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        thread.join(WAIT_S)


class Heard(logging.Handler):
    """Waits for a line of the log."""

    def __init__(self, wanted):
        super().__init__()
        self.seen = threading.Event()
        self._wanted = wanted

    def emit(self, record):
        if self._wanted in record.getMessage():
            self.seen.set()


@contextmanager
def heard(wanted):
    handler = Heard(wanted)
    logger = logging.getLogger("braidmq.broker")
    logger.addHandler(handler)
    try:
        yield handler.seen
    finally:
        logger.removeHandler(handler)


def hand_on(authority, join):
    """Let the copied file have the newest registry, and nothing else that is new."""
    manifest = authority.manifest()
    replace(joinfile.load(join), manifest=manifest, brokers=manifest.brokers).write(join)


def test_a_broker_starts_as_the_registry_says_that_it_remembers(tmp_path, authority, join, places):
    authority.change("b1", endpoints=places[1:])
    authority.rename("b1", "b9")
    state = tmp_path / "b1.state"
    brokerstate.save(state, State(authority.manifest().blob))
    loop = BrokerLoop(join, Settings.test(), local=False, state=state)
    assert loop.name == "b9"
    loop.open()
    try:
        assert loop.endpoints == tuple(places[1:])
    finally:
        loop.close()


def test_a_broker_starts_as_its_join_file_says_that_is_newer(tmp_path, authority, join, places):
    state = tmp_path / "b1.state"
    brokerstate.save(state, State(authority.manifest().blob))
    authority.change("b1", endpoints=places[1:])
    shutil.copy2(authority.directory / "b1.braid", join)
    loop = BrokerLoop(join, Settings.test(), local=False, state=state)
    loop.open()
    try:
        assert loop.endpoints == tuple(places[1:])
    finally:
        loop.close()


def test_a_running_broker_says_that_it_is_to_listen_elsewhere(authority, join, places):
    loop = BrokerLoop(join, Settings.test(), local=False)
    with heard(f"b1 is registered at {places[1]} now: restart it") as seen, running(loop):
        authority.change("b1", endpoints=places[1:])
        hand_on(authority, join)
        assert seen.wait(WAIT_S)


def test_a_running_broker_says_that_it_has_another_name(authority, join):
    loop = BrokerLoop(join, Settings.test(), local=False)
    with heard("b1 is registered as b9 now: restart it") as seen, running(loop):
        authority.rename("b1", "b9")
        hand_on(authority, join)
        assert seen.wait(WAIT_S)


def test_a_broker_that_has_met_nobody_yet_writes_no_state(tmp_path, join, authority):
    young = replace(joinfile.load(join), manifest=None)
    path, state = tmp_path / "young.braid", tmp_path / "young.state"
    young.write(path)
    loop = BrokerLoop(path, Settings.test(), local=False, state=state)
    with running(loop):
        pass
    assert not state.exists()


def test_a_broker_without_a_registry_refuses_nobody_for_good(join, tmp_path, authority):
    path = tmp_path / "young.braid"
    replace(joinfile.load(join), manifest=None).write(path)
    loop = BrokerLoop(path, Settings.test(), local=False)
    with running(loop):
        key = PrivateKey.generate()
        pair = KeyPair(bytes(key.public_key), bytes(key))
        asking = Asking(Settings(), pair, Open("b1", loop.endpoints[0], joinfile.load(join).public_key))
        try:
            wait_until(lambda: [asking.serve(0.01), asking.failure][1], "it is refused")
            assert asking.failure is Failure.EARLY
        finally:
            asking.close()
