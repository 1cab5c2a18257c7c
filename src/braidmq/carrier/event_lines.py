"""The events of a core as lines of the log, with their fields beside them for logs in JSON."""

import logging

from braidmq.core.events.event import Event, fields_of


def log_event(log: logging.Logger, event: Event) -> None:
    """Log the text of an event; the record has its kind as the attribute `event`, and each field as another one."""
    if log.isEnabledFor(event.level):
        log.log(event.level, "%s", event, extra=fields_of(event))
