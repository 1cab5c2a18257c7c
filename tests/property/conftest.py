"""How hypothesis runs here: no wall-clock limits, and a failure prints what reproduces it."""

from hypothesis import HealthCheck, settings

from tests.support.examples import TIMES

settings.register_profile(
    "braidmq",
    deadline=None,
    max_examples=75 * TIMES,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("braidmq")
