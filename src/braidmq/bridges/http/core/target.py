"""Where a request goes: the path that it names."""

from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.messages import Head
from braidmq.bridges.http.core.problems import Refused
from braidmq.members import is_service

_SERVICES: Final = b"/services/"


class Place(Enum):
    """What there is."""

    SERVICE = "service"
    HEALTH = "/healthz"
    READINESS = "/readyz"
    DESCRIPTION = "/openapi.json"


class Route(NamedTuple):
    """Where a request goes, and the service that it calls, if it calls one."""

    place: Place
    service: str = ""


_PLACES: Final = {place.value.encode(): Route(place) for place in (Place.HEALTH, Place.READINESS, Place.DESCRIPTION)}


def route(head: Head) -> Route:
    """Return where a request goes.

    Its path is decoded once: `%2F` is the same as `/`, and `%252F` is no name of a service.

    Raises:
        Refused: there is nothing, no service can have that name, or the method is another one's.
    """
    path, _, query = head.target.partition(b"?")
    if path.startswith(_SERVICES):
        place = Route(Place.SERVICE, _service(path[len(_SERVICES) :]))
        allowed: tuple[str, ...] = ("POST",)
    else:
        found = _PLACES.get(path)
        if found is None:
            raise Refused(problems.NOT_FOUND, "services are called by POST /services/NAME")
        place, allowed = found, ("GET", "HEAD")
    if head.method not in allowed:
        fields = ((b"allow", ", ".join(allowed).encode()),)
        raise Refused(problems.METHOD_NOT_ALLOWED, f"use {' or '.join(allowed)}", service=place.service, fields=fields)
    if query:
        raise Refused(problems.BAD_REQUEST, "a query would reach nobody: put it into the body", service=place.service)
    return place


def _service(quoted: bytes) -> str:
    name = unquote_to_bytes(quoted).decode("latin-1")  # every byte is a character, and no such name has one above 127
    if not is_service(name):
        raise Refused(
            problems.NO_SERVICE_NAME,
            "the name of a service has 1 to 127 letters, digits, '.', '_', '-', '/' or ':', and begins with a letter "
            "or digit",
        )
    return name
