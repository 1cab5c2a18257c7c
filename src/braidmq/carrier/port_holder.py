"""Who holds a TCP port of this machine, as /proc tells it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_TIME_WAIT: Final = "06"
_JIFFIES_PER_S: Final = 100
"""/proc tells times in these, whatever the kernel counts in."""


@dataclass(frozen=True, slots=True)
class PortHolder:
    """What is in the way at a port.

    Attributes:
        pid: of the process that holds it; 0 if none does, or nobody may tell.
        listens: whether it is a server; else it is a connection.
        left_s: for how long the system will remember a connection that has ended; 0 for one that has not.
        text: what it is and what to do, as the end of a sentence.
    """

    pid: int
    listens: bool
    left_s: float
    text: str


def port_holder(port: int) -> PortHolder | None:
    """Return who holds `port`: a server before a connection, and that before what is remembered; None if nobody."""
    rows = sorted(_rows(port), key=lambda row: (row[3] != _LISTEN, row[3] == _TIME_WAIT))
    for row in rows[:1]:
        if row[3] == _TIME_WAIT:
            left_s = int(row[5].partition(":")[2], 16) / _JIFFIES_PER_S
            text = f"the system remembers a connection from there for {left_s:.0f} s more"
            return PortHolder(0, listens=False, left_s=left_s, text=text)
        pid = _owner(row[9])
        who = f"process {pid} ({_name(pid)})" if pid else "a process of another user (`ss -tanp`, as root, names it)"
        if row[3] == _LISTEN:
            return PortHolder(pid, listens=True, left_s=0.0, text=f"{who} listens there: end it, or choose another one")
        return PortHolder(
            pid,
            listens=False,
            left_s=0.0,
            text=f"{who} has a connection from there to {_address(row[2])}: choose a port that the system gives to no "
            "connection",
        )
    return None


def _rows(port: int) -> Iterator[list[str]]:
    """Yield the kernel's lines on the sockets at a port: number, own and other address, state, queues, timer, ..."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            row = line.split()
            if len(row) > 9 and row[1].endswith(f":{port:04X}"):
                yield row


def _owner(inode: str) -> int:
    """Return the process that has a socket open; 0 if it cannot be seen."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is of another user
            if any(_is_link(each, wanted) for each in (process / "fd").iterdir()):
                return int(process.name)
    return 0


def _is_link(path: Path, target: str) -> bool:
    try:
        return str(path.readlink()) == target
    except OSError:  # it was closed meanwhile
        return False


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "it has just ended"


def _address(text: str) -> str:
    """Return an address as people write it; /proc has it in words of the machine's byte order."""
    host, _, port = text.partition(":")
    words = bytes.fromhex(host)
    packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    if len(packed) == 4:
        return f"{IPv4Address(packed)}:{int(port, 16)}"
    address = IPv6Address(packed)
    return f"{address.ipv4_mapped}:{int(port, 16)}" if address.ipv4_mapped else f"[{address}]:{int(port, 16)}"
