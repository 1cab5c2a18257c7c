"""Text of others, made fit for a line of a log or a terminal."""

import json


def printable(text: str) -> str:
    """Return `text` with escapes in place of control characters: a peer's text must not reach the terminal raw."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_json(encoded: bytes) -> bytes:
    """Return JSON of one line with escapes in place of what a terminal could take for a command; it means the same."""
    text = encoded.decode()
    if text.isprintable():
        return encoded
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text).encode()
