"""`python -m faults.promises`: try the promises on real processes, all or those that are named, and print a table."""

import argparse
import json
import logging
import random
import signal
import sys
from collections.abc import Sequence
from functools import partial

from faults.promises import table
from faults.promises.runner import try_promise
from faults.promises.scenarios import PROMISES


def main(arguments: Sequence[str]) -> int:
    """Try them; return 1 if one of them is not met."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was started is ended, whoever ends this
    parser = argparse.ArgumentParser(prog="python -m faults.promises", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the promises to try; all, if none is named")
    parser.add_argument("--list", action="store_true", help="list the promises and end")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each is tried; each has its own number")
    parser.add_argument("--seed", type=int, help="decides what is drawn; a new one, if none is given")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    options = parser.parse_args(arguments)
    logging.getLogger("braidmq").addHandler(logging.NullHandler())  # the observer's connections come and go
    if options.list:
        for promise in PROMISES.values():
            print(f"{promise.name:28}{promise.says}")
        return 0
    if unknown := set(options.names) - set(PROMISES):
        parser.error(f"there is no promise {', '.join(sorted(unknown))}; --list shows all")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    say = partial(print, file=sys.stderr, flush=True)
    say(f"seed {seed}")
    rows = []
    for promise in [PROMISES[name] for name in options.names] or PROMISES.values():
        say(f"{promise.name}: {promise.says}")
        row = try_promise(promise, options.runs or promise.runs, seed, say)
        say(f"  {row.verdict}{f': {row.why}' if row.why else ''}")
        rows.append(row)
    print(json.dumps({"seed": seed, "promises": table.as_json(rows)}, indent=1) if options.json else table.text(rows))
    return 0 if all(row.verdict in ("met", "told") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
