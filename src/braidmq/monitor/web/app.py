"""The routes of a monitor: its page, the net as JSON and as events, its actions, and what Prometheus reads."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from braidmq import __version__
from braidmq.errors import AccessDenied, ConfigError, NoBroker, NodeClosed
from braidmq.host.loggers import own_logger
from braidmq.monitor.access import LOGIN_S, TOKEN_CHARS_MAX, Access
from braidmq.monitor.board import Board
from braidmq.monitor.history import NET, Span
from braidmq.monitor.operations import OPERATIONS, Operation, Operations
from braidmq.monitor.trial import TRIAL_S, TRIAL_S_MAX, Busy, Trials
from braidmq.monitor.web.door import Door
from braidmq.monitor.web.feed import Feed
from braidmq.monitor.web.figures import Figures
from braidmq.monitor.web.problems import RefusedError

STATIC: Final = Path(__file__).parent / "static"
"""The pages."""

ALIVE_S: Final = 15.0
"""How old the newest look may be in a monitor that is alive: brokers that hang delay one by a second."""

LOG_LIMIT_MAX: Final = 500
"""Entries of the journal in one answer."""

_JSON: Final = "application/json"

_LOG = own_logger("braidmq.monitor")

_T = TypeVar("_T")


class _Login(msgspec.Struct):
    token: str


class _Drain(msgspec.Struct):
    broker: str


class _Move(msgspec.Struct):
    node: str


class _Try(msgspec.Struct):
    service: str
    payload: str = ""
    timeout_s: Annotated[float, Meta(gt=0.0, le=TRIAL_S_MAX)] = TRIAL_S


class Site:
    """What a monitor answers over HTTP.

    Args:
        board: what it knows.
        feed: gives it to readers.
        access: who may read and act.
        figures: what Prometheus gets.
        trials: makes test calls.
        operations: are done to the net.
        cookie: the name of the cookie of those who have logged in.
    """

    def __init__(
        self,
        board: Board,
        feed: Feed,
        access: Access,
        figures: Figures,
        *,
        trials: Trials,
        operations: Operations,
        cookie: str,
    ) -> None:
        self._board = board
        self._feed = feed
        self._access = access
        self._trials = trials
        self._operations = operations
        self._figures = figures
        self._cookie = cookie
        self._started_s = time.monotonic()

    def app(self) -> ASGIApp:
        """Return the application of ASGI."""
        routes = [
            Route("/", self._page),
            Route("/livez", self._alive),
            Route("/readyz", self._ready),
            Route("/api/about", self._about),
            Route("/api/net", self._net),
            Route("/api/history", self._history),
            Route("/api/log", self._log),
            Route("/api/stream", self._stream),
            Route("/api/login", self._log_in, methods=["POST"]),
            Route("/api/logout", self._log_out, methods=["POST"]),
            Route("/api/actions/try", self._try, methods=["POST"]),
            *(Route(f"/api/actions/{each}", self._operator(each), methods=["POST"]) for each in OPERATIONS),
            Route("/metrics", self._metrics),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        return Door(Router(routes), self._access)

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def _alive(self, _request: Request) -> Response:
        return _word("alive") if self._age_s() < ALIVE_S else _word("no look at the net was taken lately", 503)

    async def _ready(self, _request: Request) -> Response:
        ready = self._board.sums is not None and self._age_s() < ALIVE_S
        return _word("ready") if ready else _word("no look at the net was taken yet, or lately", 503)

    def _age_s(self) -> float:
        sums = self._board.sums
        return time.monotonic() - (self._started_s if sums is None else sums.look.at_s)

    async def _about(self, request: Request) -> Response:
        return _json(
            {
                "node": self._board.node,
                "version": __version__,
                "token_required": self._access.token_required,
                "authorised": self._may_read(request),
                "actions": self._actions() if self._has_token(request) else [],
            }
        )

    async def _net(self, request: Request) -> Response:
        self._check_reader(request)
        if self._board.sums is None:
            raise RefusedError(503, "The net was not looked at yet", "Try again in a second.", {"retry-after": "1"})
        return Response(self._board.net(), media_type=_JSON)

    async def _history(self, request: Request) -> Response:
        self._check_reader(request)
        subject, span = request.query_params.get("of", NET), request.query_params.get("span", "hour")
        if span not in get_args(Span):
            raise RefusedError(400, "There is no such span", f"`span` is one of {', '.join(get_args(Span))}.")
        past = self._board.past(subject, msgspec.convert(span, Span))
        if past is None:
            raise RefusedError(404, "Nothing is known of that", "`of` is `net`, `broker:NAME` or `service:NAME`.")
        return _json(past)

    async def _log(self, request: Request) -> Response:
        self._check_reader(request)
        before, limit = _number(request, "before"), _number(request, "limit")
        entries = self._board.journal.before(before, min(LOG_LIMIT_MAX if limit is None else limit, LOG_LIMIT_MAX))
        return _json({"events": entries})

    async def _stream(self, request: Request) -> Any:
        self._check_reader(request)
        return self._feed.open(request.headers.get("last-event-id"))

    async def _log_in(self, request: Request) -> Response:
        token = (await _body(request, _Login)).token
        if not self._access.token_required:
            raise RefusedError(409, "This monitor has no token", "Start it with --token-file, to act from its pages.")
        if len(token) > TOKEN_CHARS_MAX or not self._access.fits(token.strip()):
            raise RefusedError(401, "That is not the token", "It is in the file that --token-file names.")
        answer = _json({"authorised": True})
        answer.set_cookie(
            self._cookie,
            self._access.log_in(time.monotonic()),
            max_age=int(LOGIN_S),
            httponly=True,
            samesite="strict",
            secure=request.headers.get("origin", "").startswith("https:"),
        )
        return answer

    async def _log_out(self, request: Request) -> Response:
        self._access.log_out(request.cookies.get(self._cookie, ""))
        answer = _json({"authorised": not self._access.token_required})
        answer.delete_cookie(self._cookie, httponly=True, samesite="strict")
        return answer

    def _actions(self) -> list[str]:
        return [*(["try"] if self._trials.callable() else []), *(OPERATIONS if self._operations.allowed else [])]

    async def _try(self, request: Request) -> Response:
        self._check_actor(request)
        asked = await _body(request, _Try)
        with _told():
            return _json(await self._trials.make(asked.service, asked.payload.encode(), asked.timeout_s))

    def _operator(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def operate(request: Request) -> Response:
            self._check_actor(request)
            name = await _whom(request, operation)
            with _told():
                outcome = await self._operations.make(operation, name)
            _LOG.info("asked for by a page or a program: %s", outcome.text)
            return _json(outcome)

        return operate

    async def _metrics(self, request: Request) -> Response:
        self._check_reader(request)
        content, kind = self._figures.read(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": kind})

    def _has_token(self, request: Request) -> bool:
        """Whether a request shows the token, or comes from a browser that has."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._access.fits(token.strip())
        secret = request.cookies.get(self._cookie, "")
        return bool(secret) and self._access.is_logged_in(secret, time.monotonic())

    def _may_read(self, request: Request) -> bool:
        return not self._access.token_required or self._has_token(request)

    def _check_reader(self, request: Request) -> None:
        if not self._may_read(request):
            detail = "Log in, or send the token as `Authorization: Bearer TOKEN`."
            raise RefusedError(401, "This needs the monitor's token", detail, {"www-authenticate": "Bearer"})

    def _check_actor(self, request: Request) -> None:
        """Refuse whoever may not act, or does not know that it does: others' pages can make a browser send much.

        The door has seen that an Origin, if there is one, is the monitor's own. Programs send the token instead.
        """
        if not self._has_token(request):
            what = "Log in" if self._access.token_required else "Start the monitor with --token-file, and log in"
            raise RefusedError(401, "This needs the monitor's token", f"{what}.", {"www-authenticate": "Bearer"})
        page = "origin" in request.headers or "authorization" in request.headers
        if request.headers.get("x-braidmq-action") != "yes" or not page:
            raise RefusedError(403, "No page of this monitor asks that", "Send `X-BraidMQ-Action: yes` and an Origin.")


async def _whom(request: Request, operation: Operation) -> str:
    """Return the broker or the node that an operation is about."""
    if operation == "drain":
        return (await _body(request, _Drain)).broker
    return (await _body(request, _Move)).node


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say of an action that cannot be done why that is."""
    try:
        yield
    except Busy:
        raise RefusedError(429, "Too many calls are under way", "Try again when they have ended.") from None
    except AccessDenied as error:
        raise RefusedError(403, "The monitor has not the right to do that", f"{error}.") from None
    except ConfigError as error:
        raise RefusedError(400, "That cannot be done", f"{error}.") from None
    except NoBroker as error:
        raise RefusedError(503, "The broker cannot be asked", f"{error}.") from None
    except NodeClosed:
        raise RefusedError(503, "The monitor is about to end", "Ask another one.") from None


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=_JSON)


def _word(text: str, status: int = 200) -> Response:
    return Response(f"{text}\n", status, media_type="text/plain")


def _number(request: Request, name: str) -> int | None:
    """Return a whole number of the query; None if it is not there."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise RefusedError(400, f"`{name}` is no number", "Write a whole number of at least 0.")
    return int(text)


async def _body(request: Request, kind: type[_T]) -> _T:
    """Return the JSON object that a request carries."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise RefusedError(415, "The body is no JSON", f"Send it as `Content-Type: {_JSON}`.")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, "The body is not what is expected", f"{error}."[:200]) from None
