"""Where the developers' real data lies, if it does; tests that need it skip where it is missing."""

from __future__ import annotations

import os
from pathlib import Path

_candidate = Path(
    os.environ.get("STAD_SHARED", Path(__file__).resolve().parents[2] / "shared" / "data")
)
SHARED: Path | None = _candidate if _candidate.is_dir() else None
