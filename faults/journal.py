"""Where a process writes down what it sees: one file for each kind and each life of a process, a line for each entry.

`Reader` makes one record of all files. All times are CLOCK_MONOTONIC, which all processes of a machine share.

What a broker or worker sees is handed to the kernel before anything follows from it, so that kill -9 loses none of
it. Only the last line of a file may be cut, and is passed over.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from braidmq.lab.simulation.record import Call, Execution, Outage, Passage, Record, Verdict

Entry = TypeVar("Entry", bound=msgspec.Struct)

BUFFER_BYTES: Final = 64 * 1024
"""A journal that is not flushed by its owner is written when it holds so much."""


class Journal(Generic[Entry]):
    """The entries of one kind that one process makes, in `directory`."""

    def __init__(self, directory: Path | str, kind: type[Entry], process: str, life: int = 0) -> None:
        path = path_of(directory, kind, process, life)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._encode = msgspec.json.Encoder().encode
        self._buffer = bytearray()

    def add(self, entry: Entry) -> None:
        """Take an entry; it is safe after `flush`."""
        self._buffer += self._encode(entry)
        self._buffer += b"\n"
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand all entries to the kernel."""
        if self._buffer:
            os.write(self._file, self._buffer)
            self._buffer.clear()


def path_of(directory: Path | str, kind: type, process: str, life: int = 0) -> Path:
    """Return the file of a journal."""
    return Path(directory) / f"{kind.__name__.lower()}s.{process}.{life}"


class Reader:
    """Reads the journals of a directory as they grow: each `read` returns what is new."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._offsets: dict[Path, int] = {}

    def read(self) -> Record:
        """Return a record of the entries that were added since the last time."""
        record = Record()
        record.calls.extend(self.entries(Call))
        record.executions.extend(self.entries(Execution))
        record.passages.extend(self.entries(Passage))
        record.verdicts.extend(self.entries(Verdict))
        record.outages.extend(self.entries(Outage))
        record.passages.sort(key=lambda each: each.at)
        return record

    def entries(self, kind: type[Entry]) -> Iterator[Entry]:
        """Return the new entries of a kind, without what a killed process has left half written."""
        decode = msgspec.json.Decoder(kind).decode
        for path in sorted(self._directory.glob(f"{kind.__name__.lower()}s.*")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                for line in file:
                    if line.endswith(b"\n"):
                        self._offsets[path] = self._offsets.get(path, 0) + len(line)
                        yield decode(line)
