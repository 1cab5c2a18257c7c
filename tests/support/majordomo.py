"""What may be sent to a peer of Majordomo: anything else kills or freezes one that is real."""

from collections.abc import Iterable

from braidmq.bridges.majordomo import wire


def is_allowed(told: list[bytes], said: Iterable[list[bytes]]) -> bool:
    """Whether a message is an answer in one of the dialects in which its peer has spoken."""
    heard = [wire.read(each) for each in said]
    return any(each is not None and _is_of(told, each.dialect) for each in heard)


def _is_of(told: list[bytes], dialect: wire.ClientDialect | wire.WorkerDialect) -> bool:
    front, rest = tuple(told[: len(dialect.front)]), told[len(dialect.front) :]
    if front != dialect.front:
        return False
    if isinstance(dialect, wire.ClientDialect):
        return len(rest) >= 2 if dialect.names_service else len(rest) >= 1
    frames = dialect.frames
    if rest[0] == frames[wire.Command.REQUEST]:
        return len(rest) >= 4 and rest[2] == b"" and 1 <= len(rest[1]) <= 255
    return rest in ([frames[wire.Command.HEARTBEAT]], [frames[wire.Command.DISCONNECT]])
