"""A broker of a benchmark, as a process: ``python -m braidmq.lab.bench.broker JOIN``. It has room for the loads."""

import signal
import sys
from typing import Final

from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.settings import Settings

SETTINGS: Final = Settings(in_flight_max=1_024)
"""The defaults, but one client may have as many calls under way as the largest load has."""


def main(join: str) -> None:
    """Serve until SIGTERM."""
    broker = BrokerLoop(join, SETTINGS)
    broker.open()
    signal.signal(signal.SIGTERM, lambda *_: broker.stop())
    broker.run()


if __name__ == "__main__":
    main(sys.argv[1])
