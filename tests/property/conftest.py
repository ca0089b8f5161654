"""How hard the models are driven: a little in every run, much with `--hypothesis-profile=long`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

# Always the same examples: a green suite stays green until the code changes.
settings.register_profile(
    "orpheus",
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=_SLOW,
)
settings.register_profile(
    "long",
    max_examples=2500,
    stateful_step_count=60,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=_SLOW,
)
