"""Text of others, made fit for a line of a log or a terminal."""


def printable(text: str) -> str:
    """Return `text` with escapes in place of control characters: a peer's text must not reach the terminal raw."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
