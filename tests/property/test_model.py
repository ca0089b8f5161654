"""The store keeps its promises under any sequence of events, with a clock that obeys the test."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.property.machine import StoreMachine

# `--hypothesis-profile=long` takes its time; any other run takes half a minute.
_LONG = settings.get_current_profile_name() == "long"

TestStore = StoreMachine.TestCase
TestStore.settings = settings.get_profile("long" if _LONG else "orpheus")

pytestmark = pytest.mark.timeout(7200 if _LONG else 120)
