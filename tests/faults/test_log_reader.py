"""Whoever reads the programs' output is gone, or has stopped reading: jobs go on."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.supervised import Supervised

pytestmark = [pytest.mark.processes, pytest.mark.long]


class Piped(Supervised):
    """Its programs write into one pipe of which the test has the other end."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"LOG_LEVEL": "debug", "LOG_FORMAT": "json"})
        self.reader, self.writer = os.pipe()

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "orpheus.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.writer,
            stderr=self.writer,
            start_new_session=True,
        )


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "stopped"])
def test_jobs_go_on(tmp_path: Path, gone: bool) -> None:
    tmp_path.mkdir(exist_ok=True)
    system = Piped(tmp_path)
    fcntl.fcntl(system.reader, fcntl.F_SETPIPE_SZ, 4096)
    with system:
        if gone:
            os.close(system.reader)
        job_ids = [system.submits(within=10) for _ in range(40)]
        for job_id in job_ids:
            system.ends_done(job_id)
        if not gone:
            assert not select.select([], [system.writer], [], 0)[1], "the pipe was not full"
        assert system.ends == {"api": [], "main": []}
    if not gone:
        os.close(system.reader)
    os.close(system.writer)
