"""The Majordomo bridge as a kind of bridge."""

from typing import Final

from braidmq.bridges.foreign import RouterBridge
from braidmq.bridges.kinds import Bridge, Kind, Plan
from braidmq.bridges.majordomo.core import MajordomoCore
from braidmq.bridges.majordomo.options import MajordomoOptions
from braidmq.bridges.port import BridgeCore, Rights

BIND: Final = ("tcp://127.0.0.1:5555",)
"""Where programs of Majordomo expect their broker."""


def _make(plan: Plan) -> Bridge:
    options = plan.options
    assert isinstance(options, MajordomoOptions)

    def make_core(rights: Rights, payload_bytes_max: int) -> BridgeCore:
        return MajordomoCore(options, rights, payload_bytes_max)

    return RouterBridge("majordomo", plan, BIND, make_core)


KIND: Final = Kind("majordomo", MajordomoOptions, _make)
