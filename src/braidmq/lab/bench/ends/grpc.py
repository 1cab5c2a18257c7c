"""gRPC's clients and workers: grpc.aio with payloads as they are, without Protocol Buffers around them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc.aio
import msgspec

from braidmq.lab.bench.certificates import NODE
from braidmq.lab.bench.ends.caller import Call, until_told_to_stop
from braidmq.lab.bench.systems.grpc import SERVER, Address

_METHOD: Final = "/bench.Echo/Echo"

_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is an Address in JSON."""
    to = msgspec.json.decode(address, type=Address)
    async with _channel(to) as channel:
        echo = channel.unary_unary(_METHOD)

        async def call(payload: bytes) -> bytes:
            return bytes(await echo(payload, timeout=5.0))

        yield call


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends."""
    to = msgspec.json.decode(address, type=Address)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_Handlers(),))
    if to.tls:
        server.add_secure_port(to.target, _server_credentials(Path(to.tls)))
    else:
        server.add_insecure_port(to.target)
    await server.start()
    ready()
    await until_told_to_stop()
    await server.stop(0)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # it has no types
    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(_echo) if details.method == _METHOD else None


async def _echo(payload: bytes, _context: object) -> bytes:
    return payload


def _channel(to: Address) -> Any:
    if not to.tls:
        return grpc.aio.insecure_channel(to.target, options=_OPTIONS)
    ca, key, certificate = _files(Path(to.tls), NODE)
    return grpc.aio.secure_channel(to.target, grpc.ssl_channel_credentials(ca, key, certificate), options=_OPTIONS)


def _server_credentials(directory: Path) -> Any:
    ca, key, certificate = _files(directory, SERVER)
    return grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)


def _files(directory: Path, name: str) -> tuple[bytes, bytes, bytes]:
    return tuple(  # type: ignore[return-value] # there are three
        (directory / file).read_bytes() for file in ("ca.pem", f"{name}.key", f"{name}.pem")
    )
