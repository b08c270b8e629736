"""One import name: every package is `stadet.X`, found once."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.conftest import PACKAGES, ROOT, second_copies


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_the_folder_at_the_top(package):
    module = importlib.import_module(f"stadet.{package}")
    assert module.__file__ == str(ROOT / package / "__init__.py")


def test_a_bare_import_is_seen():
    bare = {
        "detect.boxes": SimpleNamespace(__file__=str(ROOT / "detect" / "boxes.py")),
        "datasets": SimpleNamespace(__file__="/elsewhere/site-packages/datasets/__init__.py"),
        "stadet.detect": SimpleNamespace(__file__=str(ROOT / "detect" / "__init__.py")),
    }
    assert second_copies(bare) == ["detect.boxes"]


def test_a_bare_import_from_the_root_is_a_second_copy():
    code = (
        "import sys, detect.boxes; from tests.conftest import second_copies\n"
        "assert second_copies(sys.modules) == ['detect', 'detect.boxes']"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_importing_stadet_imports_nothing_heavy():
    code = "import sys, stadet; assert not {'torch', 'numpy', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
