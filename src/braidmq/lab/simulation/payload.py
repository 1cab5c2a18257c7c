"""Payloads that say which request they belong to, so that any answer can be told from any other."""

from typing import Final

_ANSWER: Final = b"re:"


def payload_of(key: str, size_bytes: int = 0) -> bytes:
    """Return the payload of the request `key`, filled up to `size_bytes`; a key holds no space."""
    return f"{key} {size_bytes} ".encode().ljust(size_bytes, b".")


def key_of(payload: bytes) -> str:
    """Return the request that a payload belongs to."""
    return payload.partition(b" ")[0].decode("ascii", "replace")


def answer_to(payload: bytes) -> bytes:
    """Return what a worker must answer."""
    return _ANSWER + payload


def key_of_answer(payload: bytes) -> str:
    """Return the request that `payload` is the whole answer to; empty if it is none."""
    words = payload.removeprefix(_ANSWER).split(b" ", 2)
    if len(words) < len(("key", "size", "filling")) or not words[1].isdigit():
        return ""
    if len(words[1]) > len(str(len(payload))):
        return ""  # it is not as large as it says; to make one that is may take all memory
    key = words[0].decode("ascii", "replace")
    return key if payload == answer_to(payload_of(key, int(words[1]))) else ""
