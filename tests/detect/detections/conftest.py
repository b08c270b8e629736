"""Here an error that a reader did not foresee is shown, not turned into one line by its guard."""

import pytest


@pytest.fixture(autouse=True)
def unguarded(monkeypatch):
    monkeypatch.setenv("STAD_TRACEBACK", "1")
