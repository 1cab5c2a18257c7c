"""Where a version of Python is: ``python tools/pythons.py 3.12`` prints its path, or fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["find_python"]


def find_python(version: str) -> Path | None:
    """Return the interpreter of a version such as "3.12": that on the path, or the newest that pyenv has."""
    on_path = shutil.which(f"python{version}")
    candidates = [Path(on_path)] if on_path else []
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = (pyenv / "versions").glob(f"{version}.*/bin/python{version}")
    candidates += sorted(found, key=_patch, reverse=True)
    return next((each for each in candidates if _works(each)), None)


def _patch(python: Path) -> int:
    """Return the last number of a version: 10 for .../3.12.10/bin/python3.12."""
    last = python.parts[-3].rpartition(".")[2]
    return int(last) if last.isdecimal() else -1


def _works(python: Path) -> bool:
    """Tell whether it starts and can make virtual environments: a shim of pyenv may have nothing behind it."""
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    path = find_python(sys.argv[1])
    if path is None:
        sys.exit(f"no Python {sys.argv[1]} with ensurepip and venv here")
    print(path)
