"""How many examples hypothesis tries: what a commit can wait for, and eight times as many nightly."""

import os
from typing import Final

TIMES: Final = int(os.environ.get("EXAMPLES", "1"))
"""`EXAMPLES=8 make test` tries eight times as many of each test that says so."""
