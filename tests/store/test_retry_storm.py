"""Jobs that fail together do not come back together."""

from __future__ import annotations

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Outcome
from orpheus.store.promote import promote
from tests.support.clock import FakeClock
from tests.support.stores import Store, finished, new_job

JOBS = 1000


def test_a_thousand_failing_at_once_spread_over_the_window(store: Store, clock: FakeClock) -> None:
    """Within one transaction, as when a service all of them need is gone."""
    store.submit(*[new_job(max_retries=2)] * JOBS)
    worker = store.worker()
    for wait in (1, 2):
        claims = worker.claim(JOBS)
        worker.settle(*(finished(one.attempt_id, Outcome.FAILED, clock.now()) for one in claims))
        waits = [at - clock.now() for (at,) in store.rows("SELECT run_at FROM jobs")]
        least, most = 0.8 * wait * SECOND_US, 1.2 * wait * SECOND_US
        assert least <= min(waits)
        assert max(waits) <= most
        assert max(waits) - min(waits) >= 0.8 * (most - least)
        # Evenly: no tenth of the window has twice its share.
        tenths = [int(10 * (one - least) / (most - least)) for one in waits]
        assert max(tenths.count(n) for n in range(10)) < 2 * JOBS / 10
        clock.advance(2 * wait)
        with store.write() as tx:
            assert promote(tx, JOBS) == JOBS
