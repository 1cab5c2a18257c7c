"""What the zgossip bridge can be told."""

from typing import Annotated

import msgspec

from braidmq.bridges.options import Options
from braidmq.bridges.zgossip.limits import REMOTES_MAX

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[!-~]*\Z")]
"""Visible characters of ASCII."""


class ZgossipOptions(Options, kw_only=True, forbid_unknown_fields=True):
    """What the zgossip bridge can be told.

    Attributes:
        connect: endpoints of zgossip nodes that it connects to.
        insecure_connect: whether these may be on other machines, where anybody between can read and forge what is said.
        net: what the net is called in keys; empty: its id.
        publish: where programs reach bridges that it cannot know of, or not by what they listen at, by protocol.
        put_prefix: what keys begin with that members may publish by `zgossip.put`; empty: they may publish none.
    """

    connect: Annotated[list[Text], msgspec.Meta(max_length=REMOTES_MAX)] = []
    insecure_connect: bool = False
    net: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,31})?\Z")] = ""
    publish: dict[Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{1,16}\Z")], list[Text]] = {}
    put_prefix: Annotated[str, msgspec.Meta(max_length=128, pattern=r"^[!-~]*\Z")] = ""
