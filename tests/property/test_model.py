"""The store keeps its promises under any sequence of events, with a clock that obeys the test."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.property.machine import StoreMachine
from tests.property.pools_machine import PoolsMachine

# `--hypothesis-profile=long` takes its time; any other run takes half a minute.
_LONG = settings.get_current_profile_name() == "long"

TestStore = StoreMachine.TestCase
TestStore.settings = settings.get_profile("long" if _LONG else "orpheus")

TestPools = PoolsMachine.TestCase
TestPools.settings = settings(
    settings.get_profile("long" if _LONG else "orpheus"), max_examples=2000 if _LONG else 60
)

pytestmark = pytest.mark.timeout(7200 if _LONG else 120)
