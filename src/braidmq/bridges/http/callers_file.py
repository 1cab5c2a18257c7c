"""The file of callers: a table of TOML for each, with its proofs and its member."""

from pathlib import Path
from typing import Annotated

import msgspec

from braidmq.bridges import tables
from braidmq.bridges.http.core.callers import Caller, Entry
from braidmq.bridges.http.core.limits import CALLERS_MAX
from braidmq.errors import ConfigError
from braidmq.members import check_name

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Row(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the file says of one caller.

    Attributes:
        tokens_sha256: SHA-256 of each bearer token that it may use, in lower-case hex.
        certificates: DNS names and URIs that its certificate may have.
        join: the join file of the member that it is, from where the file lies; empty: it calls as the gateway itself.
    """

    tokens_sha256: list[Digest] = []
    certificates: list[Annotated[str, msgspec.Meta(min_length=1, max_length=255)]] = []
    join: str = ""


def read(path: Path) -> list[Entry]:
    """Return all proofs of all callers.

    Raises:
        ConfigError: the file cannot be read or others can read it, or something in it is wrong.
    """
    table, lines = tables.load(path)
    rows = tables.converted(path, lines, (), table, dict[str, _Row])
    if len(rows) > CALLERS_MAX:
        raise ConfigError(f"{path} names {len(rows)} callers: {CALLERS_MAX} are the limit")
    entries: dict[tuple[str, str], Entry] = {}
    for name, row in rows.items():
        where = f"{path}, line {lines.of((name,))}, {name}"
        try:
            check_name(name)
        except ConfigError:
            raise ConfigError(f"{where}: a caller's name is like that of a member, without dots in bare keys") from None
        if not row.tokens_sha256 and not row.certificates:
            raise ConfigError(f"{where}: write tokens_sha256 or certificates, or nobody can be it")
        caller = Caller(name, str(path.parent / row.join) if row.join else "")
        for digest in row.tokens_sha256:
            _add(entries, ("token", digest), Entry(caller, digest=bytes.fromhex(digest)), where)
        for certificate in row.certificates:
            _add(entries, ("certificate", certificate), Entry(caller, certificate=certificate), where)
    return list(entries.values())


def _add(entries: dict[tuple[str, str], Entry], proof: tuple[str, str], entry: Entry, where: str) -> None:
    before = entries.setdefault(proof, entry)
    if before is not entry:
        raise ConfigError(f"{where}: the same {proof[0]} is that of {before.caller.name}")
