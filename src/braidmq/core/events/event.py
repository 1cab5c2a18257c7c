"""What a core tells its shell: small classes with a level, fields, and a text of their own. Cold path only.

There is a file of them for each core: broker.py, node.py, membership.py; links.py has what nodes and brokers tell of
their connections, fault.py errors of our own. A log line is `str(event)`; `fields_of` is for what reads no sentences.
"""

from typing import ClassVar, Final

import msgspec

from braidmq.printable import printable

DETAIL_CHARS_MAX: Final = 500
"""Characters of one field: what a peer says of itself may be as long as a message."""

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40


class Event(msgspec.Struct, frozen=True):
    """Something worth a line in the log.

    Every text in it is printable and of bounded length, whatever peers have said: it is escaped as the event is made.
    No field may have the name of an attribute of `logging.LogRecord`.

    Attributes:
        kind: the name of its class: what happened.
        about: the member that has caused it, or what else its lines are limited by.
    """

    about: str

    kind: ClassVar[str] = "Event"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.kind = cls.__name__

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is str:
                msgspec.structs.force_setattr(self, name, shown(value))

    @property
    def level(self) -> int:
        """As in `logging`."""
        return INFO

    def text(self) -> str:
        """Return what happened, and what to do if something is to be done, in one line made of the fields."""
        raise NotImplementedError

    def __str__(self) -> str:
        return printable(self.text())


def fields_of(event: Event) -> dict[str, object]:
    """Return the kind of an event as `event`, and its fields by their names, all of them texts, numbers or truths."""
    fields: dict[str, object] = {"event": event.kind}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        fields[name] = str(value) if isinstance(value, Event) else value
    return fields


def shown(detail: str) -> str:
    """Return a detail as a line can hold it."""
    text = printable(detail[:DETAIL_CHARS_MAX])
    more = len(detail) - DETAIL_CHARS_MAX
    return f"{text}... and {more:,} characters more" if more > 0 else text
