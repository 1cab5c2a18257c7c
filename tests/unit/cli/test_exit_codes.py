import pytest

from braidmq import errors
from braidmq.cli.exit_codes import exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.ServiceError("CODE", "x"), 3),
        (errors.DeadlineExceeded("x"), 4),
        (errors.NoBroker("x"), 5),
        (errors.NoWorker("x"), 5),
        (errors.AttemptsExhausted("x"), 7),
        (errors.NotRegistered("x"), 6),
        (errors.AccessDenied("x"), 6),
        (errors.Overloaded("x"), 1),
        (errors.PayloadTooLarge("x"), 1),
        (errors.ProtocolError("x"), 1),
        (errors.NodeClosed("x"), 1),
        (errors.RequestError("x"), 1),
        (errors.BraidError("x"), 1),
        (OSError(28, "x"), 1),
        (PermissionError(13, "x"), 1),
        (TimeoutError("x"), 1),
        (RuntimeError("x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_the_exit_code_of_the_contract(error, code):
    assert exit_code(error) == code
    assert exit_code(type("Derived", (type(error),), {})(*error.args)) == code
