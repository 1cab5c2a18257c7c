"""A link that carries only so many bytes in a second: a TCP proxy, in a thread of its own."""

import asyncio
import socket
import threading
from contextlib import suppress

HOST = "127.0.0.1"
CHUNK_BYTES = 16 * 1024
BUFFER_BYTES = 32 * 1024
"""What the link keeps under way, as its sockets: little, so that what waits does so at its sender."""

ANSWER_S_MAX = 10.0


class SlowLink:
    """A proxy in front of a port. Each connection has so many bytes in a second in each direction.

    Attributes:
        endpoint: where it listens.
    """

    def __init__(self, target_port, bytes_per_s):
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._listener.bind((HOST, 0))
        self._tasks = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow-link")
        self._thread.start()
        self._server = self._ask(asyncio.start_server(self._serve, sock=self._listener, limit=CHUNK_BYTES))
        self.endpoint = f"tcp://{HOST}:{self._listener.getsockname()[1]}"

    def close(self):
        self._ask(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_S_MAX)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _ask(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_S_MAX)

    async def _end(self):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        far.setblocking(False)
        await self._loop.sock_connect(far, (HOST, self._target_port))
        far_reader, far_writer = await asyncio.open_connection(sock=far, limit=CHUNK_BYTES)
        try:
            with suppress(ConnectionError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, far_writer))
                    group.create_task(self._carry(far_reader, writer))
        except* ConnectionError:
            pass  # one of the two ends was reset
        finally:
            for each in (writer, far_writer):
                each.transport.abort()

    async def _carry(self, source, target):
        target.transport.set_write_buffer_limits(CHUNK_BYTES)
        due = self._loop.time()
        while chunk := await source.read(CHUNK_BYTES):
            target.write(chunk)
            await target.drain()
            due = max(due, self._loop.time()) + len(chunk) / self._bytes_per_s
            await asyncio.sleep(due - self._loop.time())
        raise ConnectionResetError
