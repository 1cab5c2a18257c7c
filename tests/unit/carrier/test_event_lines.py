import logging

from braidmq.carrier.event_lines import log_event
from braidmq.core.events.broker import HelloCame, SessionRefused
from braidmq.host.loggers import own_logger


def test_a_record_has_the_text_the_level_the_kind_and_the_fields_of_an_event(caplog):
    log = own_logger("braidmq.broker")
    with caplog.at_level(logging.INFO, "braidmq.broker"):
        log_event(log, SessionRefused("n1", "it is \x1b[2J barred"))
        log_event(log, HelloCame("n2"))
    (record,) = caplog.records
    assert record.getMessage() == "refused a session to n1: it is \\x1b[2J barred"
    assert record.levelno == logging.WARNING
    assert (record.event, record.about, record.why) == ("SessionRefused", "n1", "it is \\x1b[2J barred")
