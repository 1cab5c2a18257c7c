"""Payloads that say which request they belong to, so that any answer can be told from any other."""

from typing import Final

_ANSWER: Final = b"re:"


def payload_of(key: str, size_bytes: int = 0) -> bytes:
    """Return the payload of the request `key`, filled up to `size_bytes`."""
    return key.encode().ljust(size_bytes - 1) + b"\n"


def key_of(payload: bytes) -> str:
    """Return the request that a payload belongs to."""
    return payload.split(maxsplit=1)[0].decode("ascii", "replace") if payload.strip() else ""


def answer_to(payload: bytes) -> bytes:
    """Return what a worker must answer."""
    return _ANSWER + payload


def key_of_answer(payload: bytes, size_bytes: int = 0) -> str:
    """Return the request that `payload` is the whole answer to; empty if it is none."""
    key = key_of(payload.removeprefix(_ANSWER))
    return key if payload == answer_to(payload_of(key, size_bytes)) else ""
