"""What is to be said of a bridge in its table of the configuration file."""

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec

from braidmq.bounds import DAY_S

Seconds = Annotated[float, msgspec.Meta(gt=0, le=DAY_S)]
"""A time above 0, a day at most."""

TIMEOUT_S: Final = 30.0
"""How long the call of a foreign client goes on if its protocol does not say: longer than programs wait, and not so
long that calls which nobody waits for pile up."""


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every bridge can be told. Each kind derives its own from it, whose fields all have defaults.

    Attributes:
        join: path of the bridge's join file, from where the configuration file lies; empty: what --join says.
        bind: where it listens; none: where its protocol's programs expect it.
        insecure_bind: whether it may listen for peers of other machines without encryption.
        timeout_s: how long the call of a foreign client may take.
    """

    join: str = ""
    bind: list[str] = []
    insecure_bind: bool = False
    timeout_s: Seconds = TIMEOUT_S


class User(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A user who proves by PLAIN who he is.

    Attributes:
        password: what he has to know.
        join: the join file of the member that he is; empty: he acts as the bridge itself.
    """

    password: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    join: str = ""


Pattern = Annotated[str, msgspec.Meta(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}\*?)\Z")]
"""A service, a prefix that ends in `*`, or `*`."""

T = TypeVar("T")


def told_of(services: Mapping[str, T], service: str, default: T) -> T:
    """Return what is told of a service: under its name, or else under the longest pattern that it has."""
    found = services.get(service)
    if found is not None:
        return found
    patterns = [each for each in services if each.endswith("*") and service.startswith(each[:-1])]
    return services[max(patterns, key=len)] if patterns else default


class RouterOptions(Options, kw_only=True, forbid_unknown_fields=True):
    """What bridges to programs of ZeroMQ can be told.

    Attributes:
        users: who may in, by user name; none: everybody, without a word.
    """

    users: dict[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], User] = {}
