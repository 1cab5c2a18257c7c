"""A broker of a benchmark, as a process: ``python -m braidmq.lab.bench.broker JOIN [local]``.

It has room for the loads, and is met at its endpoint, as its rivals are, unless it is local.
"""

import signal
import sys
from typing import Final

from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.settings import Settings

SETTINGS: Final = Settings(in_flight_max=1_024)
"""The defaults, but one client may have as many calls under way as the largest load has."""


def main(join: str, *, local: bool) -> None:
    """Serve until SIGTERM."""
    broker = BrokerLoop(join, SETTINGS, local=local)
    broker.open()
    signal.signal(signal.SIGTERM, lambda *_: broker.stop())
    broker.run()


if __name__ == "__main__":
    main(sys.argv[1], local="local" in sys.argv[2:])
