"""How hypothesis runs here: no wall-clock limits, and a failure prints what reproduces it."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "braidmq",
    deadline=None,
    max_examples=150,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("braidmq")
