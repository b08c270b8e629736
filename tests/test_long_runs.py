"""The long runs of docs/reliability.md with a smaller budget."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def run(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("STAD_TRACEBACK", None)
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.slow
def test_trainings_ended_at_random_moments_go_on_exactly():
    assert "4 ends, 0 problems" in run("kills.py", "--kills", "4", "--seed", "1")


@pytest.mark.slow
def test_damaged_checkpoints_are_refused_or_the_same():
    assert "none loaded as another" in run("damaged_checkpoints.py", "--count", "200")
