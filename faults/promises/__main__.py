"""`python -m faults.promises`: try the promises on real processes, all or those that are named, and print a table."""

import json
import random
import sys
from collections.abc import Sequence
from functools import partial

from faults import command
from faults.promises import table
from faults.promises.runner import try_promise
from faults.promises.scenarios import PROMISES


def main(arguments: Sequence[str]) -> int:
    """Try them; return 1 if one of them is not met."""
    parser = command.new_parser("python -m faults.promises", __doc__, "NAME", "the promises to try")
    parser.add_argument("--seed", type=int, help="decides what is drawn; a new one, if none is given")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    options = command.begin(parser, arguments, [(each.name, each.says) for each in PROMISES.values()])
    if options is None:
        return 0
    if unknown := set(options.names) - set(PROMISES):
        parser.error(f"there is no promise {', '.join(sorted(unknown))}; --list shows all")
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    say = partial(print, file=sys.stderr, flush=True)
    say(f"seed {seed}")
    rows = []
    for promise in [PROMISES[name] for name in options.names] or PROMISES.values():
        say(f"{promise.name}: {promise.says}")
        row = try_promise(promise, options.runs or promise.runs, seed, say)
        say(f"  {command.verdict_of(row.verdict, row.why)}")
        rows.append(row)
    print(json.dumps({"seed": seed, "promises": table.as_json(rows)}, indent=1) if options.json else table.text(rows))
    return 0 if all(row.verdict in ("met", "told") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
