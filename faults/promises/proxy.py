"""A TCP proxy in front of a broker that knows whose connections are whose, and holds up, delays or resets them.

The broker listens elsewhere (`--bind`), and its certificate names the proxy. Whoever connects is known by the process
that holds the other end of the connection: Linux tells in /proc. What is held up is delivered later, all of it and in
its order, as after a stall of a network.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from braidmq.lab.processes.ports import HOST

T = TypeVar("T")

CHUNK_BYTES: Final = 64 * 1024
CHUNKS_MAX: Final = 256
"""Chunks under way in one direction of one connection; its sender waits when there are more, as TCP has it."""

ANSWER_S_MAX: Final = 10.0
"""How long the thread of the proxies may take to do something."""

END_POLL_S: Final = 0.05
"""How often what has not ended yet is cancelled again when a proxy ends."""

TO, FROM = "to", "from"
"""The directions: to the broker, and from it."""


class _Path:
    """One direction between a member and the broker."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay_s = 0.0


class Proxy:
    """See the module. Its methods may be called from any thread.

    Attributes:
        port: where it listens.

    Args:
        port: where it listens.
        target_port: where the broker listens.
        members: returns the members by the pids of their processes.
    """

    def __init__(self, port: int, target_port: int, members: Callable[[], Mapping[int, str]]) -> None:
        self.port = port
        self._target_port = target_port
        self._members = members
        self._paths: dict[tuple[str, str], _Path] = {}
        self._refused: set[str] = set()
        self._connections: dict[asyncio.Task[None], tuple[str, list[asyncio.StreamWriter]]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}")
        self._thread.start()
        self._server = self._ask(asyncio.start_server(self._serve, HOST, port))

    def hold(self, member: str, *ways: str) -> None:
        """Let nothing through between a member and the broker, in these directions, until `release`."""

        def act() -> None:
            for way in ways:
                self._path(member, way).open.clear()

        self._do(act)

    def release(self, member: str, *ways: str) -> None:
        """Let through what was held up, and what comes from now on."""

        def act() -> None:
            for way in ways:
                self._path(member, way).open.set()

        self._do(act)

    def delay(self, member: str, delay_s: float, *ways: str) -> None:
        """Delay each byte that is sent from now on."""

        def act() -> None:
            for way in ways:
                self._path(member, way).delay_s = delay_s

        self._do(act)

    def refuse(self, member: str) -> None:
        """Let a member not connect from now on."""
        self._do(lambda: self._refused.add(member))

    def reset(self, member: str) -> int:
        """Reset the connections of a member, at both ends; return how many there were."""
        return self._do(lambda: self._reset(member))

    def close(self) -> None:
        """End all connections, and the proxy."""
        self._ask(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_S_MAX)
        self._loop.close()

    # -- in the thread of the proxy

    def _do(self, act: Callable[[], T]) -> T:
        async def do() -> T:
            return act()

        return self._ask(do())

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_S_MAX)

    def _path(self, member: str, way: str) -> _Path:
        return self._paths.setdefault((member, way), _Path())

    async def _end(self) -> None:
        self._server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:  # a connection may just have been accepted
            for task in self._connections:
                task.cancel()
            await asyncio.wait(tasks, timeout=END_POLL_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        member = owner(writer.get_extra_info("peername")[1], self.port, self._members())
        task, writers = asyncio.current_task(), [writer]
        assert task is not None
        self._connections[task] = (member, writers)
        try:
            if member not in self._refused:
                await self._carry(member, reader, writers)
        except asyncio.CancelledError:
            pass  # only `_reset` and `_end` cancel it
        finally:
            for each in writers:
                each.transport.abort()
            del self._connections[task]

    async def _carry(self, member: str, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        """Connect to the broker, and carry bytes in both directions until one end is closed."""
        try:
            from_broker, broker = await asyncio.open_connection(HOST, self._target_port)
            writers.append(broker)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._relay(reader, broker, self._path(member, TO)))
                group.create_task(self._relay(from_broker, writers[0], self._path(member, FROM)))
        except* (OSError, _EndedError):
            pass  # the broker is down, or one end has closed the connection or was reset

    async def _relay(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, path: _Path) -> None:
        """Carry bytes in one direction until it ends."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)

        async def deliver() -> None:
            while True:
                due, chunk = await chunks.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await path.open.wait()
                if not chunk:
                    raise _EndedError
                target.write(chunk)
                await target.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            chunk = b"-"
            while chunk:
                chunk = await source.read(CHUNK_BYTES)
                await chunks.put((loop.time() + path.delay_s, chunk))

    def _reset(self, member: str) -> int:
        found = [(task, writers) for task, (name, writers) in self._connections.items() if name == member]
        for task, writers in found:
            for writer in writers:
                with suppress(OSError):  # it has just ended
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            task.cancel()
        return len(found)


class _EndedError(Exception):
    """One end has closed the connection."""


def owner(port: int, proxy_port: int, members: Mapping[int, str]) -> str:
    """Return the member that holds the end of a connection at `port` to a proxy; empty if it is none of these."""
    inode = ""
    for table in ("tcp", "tcp6"):
        inode = inode or inode_of(Path(f"/proc/net/{table}").read_text(encoding="ascii"), port, proxy_port)
    for pid, name in members.items():
        with suppress(OSError):  # it has just ended
            if any(each.readlink().name == f"socket:[{inode}]" for each in Path(f"/proc/{pid}/fd").iterdir()):
                return name
    return ""


def inode_of(table: str, port: int, remote_port: int) -> str:
    """Return the inode of the connection between two ports in the text of /proc/net/tcp; empty if there is none."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        ends = [int(field.rpartition(":")[2], 16) for field in fields[1:3]]
        if ends == [port, remote_port]:
            return fields[9]
    return ""
