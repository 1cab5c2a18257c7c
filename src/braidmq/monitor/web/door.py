"""What every request passes: checks of host and origin, bounds of its body, fields of every answer, and errors."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from braidmq.host.loggers import own_logger
from braidmq.monitor.access import Access
from braidmq.monitor.web.problems import RefusedError

BODY_BYTES_MAX: Final = 64 * 1024
"""Longest body of a request: a token, or a test call with a payload that somebody has typed."""

FIELDS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""In every answer: a page runs only scripts of this monitor that are files, and makes no HTML of text."""

_LOG = own_logger("braidmq.monitor")


class Door:
    """Lets requests in to an application, or refuses them.

    Args:
        app: what is behind it.
        access: decides.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                fields = MutableHeaders(scope=message)
                fields.setdefault("cache-control", "no-store")
                for name, value in FIELDS.items():
                    fields[name] = value
            await send(message)

        try:
            self._check(Headers(scope=scope))
            # With an "app", Starlette raises what it refuses, and answers nothing itself.
            await self._app({**scope, "app": self._app}, _bounded(receive), answer)
        except RefusedError as error:
            refused = error
        except HTTPException as error:
            title = error.detail or "Not possible"
            refused = RefusedError(error.status_code, title, "See docs/monitor.md.", error.headers)
        except ClientDisconnect:
            return  # it left before all of its request had come
        except Exception:  # noqa: BLE001 - one request must not end the monitor, and its error is logged
            _LOG.exception("the monitor met an error of its own at a request")
            refused = RefusedError(500, "The monitor met an error of its own", "Please report it with its log.")
        else:
            return
        if not begun:
            await refused.response()(scope, receive, answer)

    def _check(self, fields: Headers) -> None:
        if not self._access.knows_host(fields.getlist("host")):
            raise RefusedError(
                421,
                "This monitor is not known by that name",
                "Use its address, or start it with `--host NAME` for each name under which it is reached.",
            )
        origins = fields.getlist("origin")
        if any(not self._access.is_own(origin, fields["host"]) for origin in origins):
            raise RefusedError(403, "A page of another origin may not ask this monitor", "Open the monitor's own page.")
        length = fields.get("content-length", "0")
        if length.isdigit() and int(length) > BODY_BYTES_MAX:
            raise _too_long()


def _bounded(receive: Receive) -> Receive:
    """Return a `receive` that refuses bodies that are too long."""
    left = BODY_BYTES_MAX

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _too_long()
        return message

    return bounded


def _too_long() -> RefusedError:
    return RefusedError(413, "The body is too long", f"It may have {BODY_BYTES_MAX:,} bytes.", {"connection": "close"})
