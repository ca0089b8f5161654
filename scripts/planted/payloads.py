"""ADR 0021: payloads that are written ahead of their jobs stay theirs, and nobody else's."""

from __future__ import annotations

from planted.bug import Bug

_STAGING = "tests/store/test_staging.py"

BUGS = (
    Bug(
        "staged-and-given-up",
        "ADR 0021",
        "A submit takes no notice that its payloads were given up and deleted.",
        "orpheus/store/staging.py",
        "        if cursor.rowcount != len(first):\n",
        "        if cursor.rowcount < 0:\n",
        f"{_STAGING} -k given_up",
    ),
    Bug(
        "staged-payloads-of-jobs-deleted",
        "ADR 0021",
        "What is deleted as given up may have jobs by now.",
        "orpheus/store/staging.py",
        'if not tx.connection.execute("DELETE FROM staged WHERE first = ?", part[:1]).rowcount:',
        'if not tx.connection.execute("DELETE FROM staged WHERE first = ?", part[:1]):',
        f"{_STAGING} -k of_jobs",
    ),
    Bug(
        "staged-payloads-left-behind",
        "ADR 0021",
        "The payloads of deleted jobs stay in the file for ever.",
        "orpheus/store/control.py",
        """\
        "DELETE FROM payloads WHERE id IN (SELECT payload_id FROM jobs"
        " WHERE jobs.id IN (SELECT value FROM json_each(?)))",
""",
        """\
        "SELECT ?",
""",
        f"{_STAGING} -k goes_with",
    ),
)
