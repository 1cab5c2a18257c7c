"""Where a bridge listens, and how it takes in who comes there."""

import contextlib
import socket

import pytest

from braidmq.bridges import listening as listening_module
from braidmq.bridges.router import Router
from braidmq.errors import ConfigError
from braidmq.host.room import NoRoom
from tests.support.async_tests import until
from tests.support.bridge_endpoint import (
    PAYLOAD_BYTES_MAX,
    Behind,
    by_hand,
    heard,
    listening,
    port_of,
    say,
    shaking_hands,
)
from tests.support.scarcity import descriptors, only


async def test_place_that_is_taken_is_told_in_one_line():
    async with listening() as (listener, _):
        other = Router(Behind(), payload_bytes_max=PAYLOAD_BYTES_MAX)
        told = f"cannot listen at {listener.endpoints[0]}: Address already in use: end what listens there, .*$"
        with pytest.raises(ConfigError, match=told):
            other.bind(listener.endpoints)
        with pytest.raises(ConfigError, match="cannot listen at nonsense: "):
            other.bind(["nonsense"])
        await other.close()


@descriptors
async def test_who_finds_no_descriptor_waits_and_the_log_tells_it_once(monkeypatch, caplog):
    monkeypatch.setattr(listening_module, "PAUSE_S", 0.01)
    pauses = []
    pause = listening_module.Place._pause_because
    monkeypatch.setattr(listening_module.Place, "_pause_because", lambda *told: (pauses.append(told), pause(*told)))
    async with listening() as (listener, behind):
        with by_hand(listener) as live, contextlib.ExitStack() as ends:
            say(live, b"hello")
            await until(lambda: len(behind.come) == 1)
            raws = [ends.enter_context(socket.socket()) for _ in range(3 * listening_module.ACCEPTED_AT_ONCE)]
            with only(3):
                for raw in raws:
                    raw.connect(("127.0.0.1", port_of(listener)))
                    raw.sendall(shaking_hands())
                    say(raw, b"late")
                await until(lambda: len(pauses) > 3)
                say(live, b"again")
                await until(lambda: [b"again"] in behind.frames)
                assert len(listener._there) == 4
            await until(lambda: len(behind.come) == 2 + len(raws))
    [told] = [each.getMessage() for each in caplog.records]
    assert told.startswith(
        f"who connects to {listener.endpoints[0]} needs more file descriptors; this process may open "
    )


async def test_it_may_end_while_nobody_finds_a_descriptor():
    async with listening() as (listener, _):
        [place] = listener._places
        place._pause_because(NoRoom(""))
        await listener.close()
        assert place._pause.cancelled()


async def test_file_of_a_socket_is_its_owners_and_goes_with_it(dealer, tmp_path):
    path = tmp_path / "bridge"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # what a process has left that was killed
    async with listening() as (listener, behind):
        listener.bind([f"ipc://{path}", f"ipc://@{path}"])
        assert path.stat().st_mode & 0o777 == 0o600
        for place in (1, 2):
            peer = dealer(listener, place=place)
            peer.send(b"hello")
            await until(lambda place=place: len(behind.come) == place)
            assert listener.send(behind.come[-1][0], [b"answer"])
            assert await heard(peer) == [b"answer"]
        assert {peer.host for peer, _ in behind.come} == {""}
        with pytest.raises(ConfigError, match=f"cannot listen at ipc://{path}: Address already in use"):
            listener.bind([f"ipc://{path}"])
    assert not path.exists()


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("tcp://127.0.0.1", "write tcp://HOST:PORT"),
        ("tcp://:5555", "write tcp://HOST:PORT"),
        ("tcp://127.0.0.1:port", "write tcp://HOST:PORT"),
        ("tcp://127.0.0.1:70000", "write tcp://HOST:PORT"),
        ("tcp://127.0.0.1:-1", "write tcp://HOST:PORT"),
        ("tcp://no.such.host.invalid:5555", "its host cannot be looked up"),
        ("tcp://192.0.2.1:5555", "Cannot assign requested address"),
        ("ipc://", "write tcp://HOST:PORT, with a port up to 65535, or ipc://PATH"),
        ("ipc:///no/such/folder/socket", "No such file or directory"),
        ("ipc:///" + "x" * 200, "too long"),
        ("inproc://here", "write tcp://HOST:PORT, with a port up to 65535, or ipc://PATH"),
        ("", "write tcp://HOST:PORT, with a port up to 65535, or ipc://PATH"),
    ],
)
async def test_endpoint_that_cannot_be_is_told_in_one_line(endpoint, why):
    async with listening() as (listener, _):
        with pytest.raises(ConfigError) as told:
            listener.bind([endpoint])
        assert str(told.value).startswith(f"cannot listen at {endpoint}: ")
        assert why in str(told.value)
        assert "\n" not in str(told.value)


async def test_every_address_of_this_machine_can_be_listened_at(dealer):
    async with listening() as (listener, behind):
        listener.bind(["tcp://*:*", "tcp://[::1]:*", "tcp://localhost:*"])
        assert [each.rpartition(":")[0] for each in listener.endpoints[1:]] == [
            "tcp://0.0.0.0",
            "tcp://[::1]",
            "tcp://127.0.0.1",
        ]
        for number in range(4):
            port = listener.endpoints[number].rpartition(":")[2]
            with socket.create_connection(("::1" if number == 2 else "127.0.0.1", int(port))) as raw:
                raw.sendall(shaking_hands())
                say(raw, b"hello")
                await until(lambda number=number: len(behind.come) == number + 1)
        assert [peer.host for peer, _ in behind.come] == ["127.0.0.1", "127.0.0.1", "::1", "127.0.0.1"]
