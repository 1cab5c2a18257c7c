"""What is refused over HTTP, as problem+json (RFC 9457)."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

PROBLEM_TYPE: Final = "application/problem+json"


class RefusedError(Exception):
    """A request is refused.

    Args:
        status: of HTTP.
        title: what is wrong, in some words.
        detail: what to do.
        headers: further fields.
    """

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return what is answered."""
        told = {"title": self.title, "detail": self.detail, "status": self.status}
        return Response(msgspec.json.encode(told), self.status, self.headers, PROBLEM_TYPE)
