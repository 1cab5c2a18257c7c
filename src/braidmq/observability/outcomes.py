"""What metrics and traces call the ends of calls and of jobs."""

from typing import Final

from braidmq.errors import BraidError, ServiceError
from braidmq.messages import Reply
from braidmq.observer import JobEnd

OK: Final = "OK"
CANCELLED: Final = "CANCELLED"
"""Its caller gave it up."""

_JOBS: Final = {
    JobEnd.RESULT: OK,
    JobEnd.ERROR: "ERROR",
    JobEnd.LOST: "LOST",
    JobEnd.REFUSED: "REFUSED",
    JobEnd.GIVEN_BACK: "GIVEN_BACK",
}


def status_of_call(outcome: Reply | BraidError | None) -> str:
    """Return the status code of a call: OK, the code of a ServiceError, the name of another error, or CANCELLED."""
    if outcome is None:
        return CANCELLED
    if isinstance(outcome, Reply):
        return OK
    return outcome.code if isinstance(outcome, ServiceError) else type(outcome).__name__


def status_of_job(how: JobEnd) -> str:
    """Return the status code of a job: OK, ERROR, LOST, REFUSED or GIVEN_BACK."""
    return _JOBS[how]
