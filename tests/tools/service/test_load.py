"""The load benchmark, small, with its kills: every job ends."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_every_job_ends_though_processes_are_killed(models, clip):
    script = ROOT / "benchmarks" / "service_load.py"
    arguments = ["--models", models, "--video", clip, "--uploads", "6", "--clients", "3"]
    arguments += ["--kill", "--most-ms", "5000"]  # a busy machine is no failure of this test
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 done" in done.stdout
