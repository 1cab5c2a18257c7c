"""How many examples hypothesis tries: what a commit can wait for, and twelve times as many nightly."""

import os
from typing import Final

TIMES: Final = int(os.environ.get("EXAMPLES", "1"))
"""`EXAMPLES=12 make test` tries twelve times as many of each test that says so."""
