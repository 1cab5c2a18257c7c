"""The HTTP gateway as a bridge: what it is told, and its life."""

import asyncio
import signal
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from braidmq.bridges.foreign import tell_counters
from braidmq.bridges.http import callers_file
from braidmq.bridges.http.core.callers import Callers
from braidmq.bridges.http.core.gateway import Gateway
from braidmq.bridges.http.core.limits import (
    CALLS_PER_CALLER,
    CALLS_PER_CALLER_MAX,
    CONNECTIONS_MAX,
    REQUEST_S_MAX,
)
from braidmq.bridges.http.members import Members
from braidmq.bridges.kinds import Kind, Plan
from braidmq.bridges.options import Options, Seconds
from braidmq.bridges.telling import Figures, Teller
from braidmq.bridges.waiting_room import WaitingRoom
from braidmq.errors import BraidError, ConfigError
from braidmq.host.loggers import own_logger
from braidmq.members import check_service

BIND: Final = "127.0.0.1:8080"
"""Where it listens if nothing is said."""

MediaType = Annotated[str, msgspec.Meta(pattern=r"^[!-~]+/[ -~]*\Z", max_length=255)]
"""What Content-Type may say."""

_LOG = own_logger("braidmq.bridge")

_FAILED: Final = 500
"""Answers from here on tell that a call has failed, and not for its caller's fault."""

_NO_ENCRYPTION: Final = (
    "tokens and payloads can be read on the way: write certificate and key, or say insecure_bind = true "
    "(--insecure-bind) if something in front of it has TLS"
)
_NO_PROOF: Final = (
    "nobody needs a token there: write callers, or say both anonymous = true and insecure_bind = true (--insecure-bind)"
)


class HttpOptions(Options, kw_only=True, forbid_unknown_fields=True):
    """What the HTTP gateway can be told. Paths count from where the configuration file lies.

    Attributes:
        callers: file of those who may call with a token or a certificate; it is read again on SIGHUP.
        anonymous: whether anybody may call without either, as the gateway's own member; null: if there is no file of
            callers.
        certificate: file with the server's certificate and those that have signed it, as PEM: it speaks TLS only.
        key: file with its key, as PEM; empty: it is in the same file.
        client_authorities: file with the authorities that sign certificates of callers, as PEM.
        calls_per_caller: calls that one caller has under way at once, at most.
        connections: connections at once, at most.
        request_s: seconds for head and body of a request together.
        content_types: the content type of the replies of services, by their names.
        timeout_s: the longest timeout that a request may ask for.
    """

    callers: str = ""
    anonymous: bool | None = None
    certificate: str = ""
    key: str = ""
    client_authorities: str = ""
    calls_per_caller: Annotated[int, msgspec.Meta(ge=1, le=CALLS_PER_CALLER_MAX)] = CALLS_PER_CALLER
    connections: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = CONNECTIONS_MAX
    request_s: Seconds = REQUEST_S_MAX
    content_types: dict[str, MediaType] = msgspec.field(default_factory=dict)


class HttpBridge:
    """The HTTP gateway. See kinds.Bridge.

    Raises:
        ConfigError: httptools is missing, or the plan is wrong.
    """

    def __init__(self, plan: Plan) -> None:
        assert isinstance(plan.options, HttpOptions)
        try:
            from braidmq.bridges.http import server  # noqa: PLC0415 - httptools is an extra
        except ImportError as error:
            raise ConfigError(
                f"the HTTP gateway needs httptools, which cannot be imported ({error}): pip install 'braidmq[http]'"
            ) from None
        self._make_server = server.Server
        self._options = options = plan.options
        self._folder = plan.folder
        self._settings = plan.settings
        self._addresses = server.addresses(options.bind or [BIND])
        for service in options.content_types:
            check_service(service)
        self._tls = self._context()
        self._callers = self._read_callers()
        self._own = plan.node(plan.join)
        self._members = Members(self._own, plan.node)
        self._teller = Teller(self._own, "http", self._figures, plan.metrics)
        self._server: server.Server | None = None
        self._reading: asyncio.Task[None] | None = None
        self._unread = False
        self._hears_hups = False
        self._serves = False

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [] if self._server is None else self._server.addresses

    @property
    def gateway(self) -> Gateway:
        """Its core, with what it has counted. It has to be started."""
        assert self._server is not None
        return self._server.gateway

    async def start(self) -> None:
        """See kinds.Bridge."""
        options = self._options
        gateway = Gateway(
            self._callers,
            readiness=lambda: self._members.readiness,
            payload_bytes_max=self._settings.payload_bytes_max,
            timeout_s=self._settings.timeout_s,
            timeout_s_max=options.timeout_s,
            calls_max=options.calls_per_caller,
            content_types=options.content_types,
        )
        server = self._make_server(
            gateway,
            self._members,
            WaitingRoom(self._settings),
            connections_max=options.connections,
            request_s_max=options.request_s,
        )
        self._server = server
        try:
            for host, port in self._addresses:
                await server.listen(host, port, self._tls, elsewhere=self._elsewhere())
            await self._members.start(self._callers.joins)
            await server.serve()
            self._serves = True
            self._teller.start()
        except BaseException:
            await self.close()
            raise
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
            self._hears_hups = True

    def reload(self) -> None:
        """Begin to read callers and certificate again. What is wrong with them is logged, and changes nothing.

        While they are being read they may have been changed after that: then they are read once more.
        """
        self._unread = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read_all())

    async def _read_all(self) -> None:
        while self._unread:
            self._unread = False
            await self._reload()

    async def _reload(self) -> None:
        try:
            callers = self._read_callers()
            self._check_tls()
            await self._members.extend(callers.joins)
        except BraidError as error:
            _LOG.error("the HTTP gateway goes on as before: %s", error)
            return
        if self._tls is not None:
            self._load_certificate(self._tls)
        self._callers = self.gateway.callers = callers
        self._members.restrict(callers.joins)
        _LOG.info("the HTTP gateway has read its callers again")

    async def drain(self) -> None:
        """See kinds.Bridge."""
        assert self._server is not None
        await self._server.drain(self._settings.drain_s)
        await self._stop()
        await self._members.close()

    async def close(self) -> None:
        """See kinds.Bridge."""
        await self._stop()
        self._members.end_now()

    def _figures(self) -> Figures:
        assert self._server is not None
        gateway = self._server.gateway
        failed = sum(number for status, number in gateway.answers.items() if status >= _FAILED)
        return Figures(self._server.connections, 0, {**gateway.counters, "errors": failed})

    async def _stop(self) -> None:
        self._teller.stop()
        if self._hears_hups:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
            self._hears_hups = False
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        if self._server is not None:
            self._server.end()
            if self._serves:
                self._serves = False
                gateway = self._server.gateway
                answers = {f"answers {status}": number for status, number in sorted(gateway.answers.items())}
                tell_counters(f"the HTTP gateway of {self._own.name}", {**gateway.counters, **answers})

    def endpoints(self) -> Sequence[str]:
        """See kinds.Bridge."""
        scheme = "http" if self._tls is None else "https"
        return [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.addresses]

    def told(self) -> str:
        """See kinds.Bridge."""
        return f"the HTTP gateway of {self._own.name} listens at {', '.join(self.endpoints())}"

    def _elsewhere(self) -> str:
        """Return why it must not be reached from other machines; nothing if it may be."""
        options = self._options
        if self._tls is None and not options.insecure_bind:
            return _NO_ENCRYPTION
        if not options.callers and not (options.anonymous and options.insecure_bind):
            return _NO_PROOF
        return _NO_PROOF if options.anonymous and not options.insecure_bind else ""

    def _read_callers(self) -> Callers:
        options = self._options
        anonymous = not options.callers if options.anonymous is None else options.anonymous
        entries = callers_file.read(self._folder / options.callers) if options.callers else []
        return Callers(entries, anonymous=anonymous, any_host=options.insecure_bind)

    def _context(self) -> ssl.SSLContext | None:
        options = self._options
        if not options.certificate:
            if options.key or options.client_authorities:
                raise ConfigError("key and client_authorities are for TLS: write certificate, too")
            return None
        return self._check_tls()

    def _check_tls(self) -> ssl.SSLContext | None:
        """Return a context made of the files as they are now; None without TLS. Raises ConfigError."""
        options = self._options
        if not options.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_certificate(context)
        if options.client_authorities:
            path = self._folder / options.client_authorities
            try:
                context.load_verify_locations(path)
            except (OSError, ValueError) as error:  # ValueError: it is no path
                raise ConfigError(f"client_authorities, {path}: {_why(error)}") from None
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        certificate = self._folder / self._options.certificate
        key = self._folder / self._options.key if self._options.key else None
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:  # ValueError: it is no path
            raise ConfigError(f"certificate and key, {_both(certificate, key)}: {_why(error)}") from None


def _both(certificate: Path, key: Path | None) -> str:
    return f"{certificate}" if key is None else f"{certificate} and {key}"


def _no_password() -> str:
    """Say that there is none: OpenSSL would ask at the terminal."""
    return ""


def _why(error: OSError | ValueError) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error) or "no such certificate, or not its key"


KIND: Final = Kind("http", HttpOptions, HttpBridge)
