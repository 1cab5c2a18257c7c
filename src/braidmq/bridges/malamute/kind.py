"""The Malamute bridge as a kind of bridge."""

import random
import sys
from typing import Final

from braidmq.bridges.foreign import RouterBridge
from braidmq.bridges.kinds import Bridge, Kind, Plan
from braidmq.bridges.malamute.core import MalamuteCore
from braidmq.bridges.malamute.options import MalamuteOptions
from braidmq.bridges.port import BridgeCore, Rights

BIND: Final = ("tcp://127.0.0.1:9999", *(("ipc://@/malamute",) if sys.platform == "linux" else ()))
"""Where programs of Malamute expect their server. Only Linux has such names of Unix sockets."""


def _make(plan: Plan) -> Bridge:
    options = plan.options
    assert isinstance(options, MalamuteOptions)

    def make_core(rights: Rights, payload_bytes_max: int) -> BridgeCore:
        return MalamuteCore(options, rights, random.SystemRandom(), payload_bytes_max)

    return RouterBridge("malamute", plan, BIND, make_core)


KIND: Final = Kind("malamute", MalamuteOptions, _make)
