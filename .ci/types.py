"""Type-check the installed wheel: no errors in the rooms listed here, few elsewhere.

    python .ci/types.py

Builds the wheel, installs it alone into a temporary folder and runs mypy (settings: pyproject.toml)
over it, as a user's type checker sees it. The number of errors allowed in the other rooms is the
one in docs/architecture.md ("mypy finds N errors"); it may only fall.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED_IN = ROOT / "docs" / "architecture.md"
CLEAN = (
    "__init__.py",
    "configs/",
    "engine/",
    "detect/structures.py",
    "detect/boxes.py",
    "detect/view.py",
    "detect/batch.py",
    "detect/classification_batch.py",
    "detect/clock.py",
    "detect/nms.py",
    "detect/detector.py",
    "detect/inference.py",
    "datasets/dataset.py",
    "datasets/footage/",
    "datasets/splits/",
    "datasets/clips/",
    "tools/training/recipe.py",
    "tools/training/recipes/",
    "tools/inference/video_detector.py",
    "tools/inference/frame_streams.py",
)


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # setuptools would pack it again
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("stadet-*.whl")
    return wheel


def check(folder: Path) -> list[str]:
    """mypy's errors over the wheel, as `path in stadet:line: error: ..`."""
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = build_wheel(folder)
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    cache = ROOT / ".mypy_cache"
    done = subprocess.run(
        [*mypy, "--cache-dir", str(cache), "-p", "stadet"],
        cwd=site,
        env={**os.environ, "MYPYPATH": str(site)},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"mypy failed:\n{done.stdout}{done.stderr}")
    lines = [line.removeprefix("stadet/") for line in done.stdout.splitlines()]
    return [line for line in lines if ": error: " in line]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        errors = check(Path(folder))
    (allowed,) = re.findall(r"mypy finds (\d+) errors", ALLOWED_IN.read_text(encoding="utf-8"))
    wrong = [line for line in errors if line.startswith(CLEAN)]
    others = len(errors) - len(wrong)
    rooms = Counter(line.split("/")[0] for line in errors)
    print(f"mypy: {len(wrong)} errors in the rooms without, {others} elsewhere ({dict(rooms)})")
    if wrong:
        print("\n".join(wrong))
        return 1
    if others > int(allowed):
        print(f"expected at most {allowed} errors elsewhere; these are all:", *errors, sep="\n")
        return 1
    if others < int(allowed):
        print(f"write {others} for {allowed} into {ALLOWED_IN.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
