"""The wheel holds every module and data file of the checkout, and works away from it."""

import subprocess
import sys
import zipfile
from fnmatch import fnmatch

import pytest

from tests.conftest import PACKAGES, ROOT

tomllib = pytest.importorskip("tomllib")  # Python 3.11

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def tracked():
    """Files below the packages' folders, as `detect/boxes.py`; what git ignores is left out."""
    listed = subprocess.run(
        [
            "git",
            "-C",
            str(ROOT),
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            *PACKAGES,
        ],
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_package_and_data_file_is_named_in_pyproject():
    for name in tracked():
        folder, _, file = name.rpartition("/")
        package = f"stadet.{folder.replace('/', '.')}"
        if file.endswith(".py"):
            assert package in SETTINGS["packages"], f"{name}: add {package} to packages"
            continue
        # a data file belongs to the nearest folder above it that is a package
        parts = package.split(".")
        owner = next(
            ".".join(parts[:n])
            for n in range(len(parts), 0, -1)
            if ".".join(parts[:n]) in SETTINGS["packages"]
        )
        inside = name.removeprefix(owner.removeprefix("stadet.").replace(".", "/") + "/")
        patterns = SETTINGS["package-data"].get(owner, [])
        assert any(fnmatch(inside, p) for p in patterns), f"{name}: add it to package-data"


def test_every_named_package_is_there():
    for package in SETTINGS["packages"]:
        folder = package.removeprefix("stadet.").replace(".", "/")
        assert (ROOT / folder / "__init__.py").is_file(), package


@pytest.mark.slow
def test_an_installed_wheel_works_beside_another_package_named_datasets(tmp_path):
    wheels, site, work = (tmp_path / name for name in ("wheels", "site", "work"))
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"  # setuptools writes build/ beside what it builds
    for name in [*tracked(), "pyproject.toml", "README.md", "LICENSE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    (source / "stadet").mkdir()
    for name in ("__init__.py", "py.typed"):
        (source / "stadet" / name).write_bytes((ROOT / "stadet" / name).read_bytes())
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), str(source)], check=True)
    (wheel,) = wheels.glob("stadet-*.whl")
    assert wheel.stat().st_size < 3 << 20
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"stadet/{name}" for name in tracked()} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"stadet"}
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("who = 'another package'\n")
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", "")
                    and "editable" not in getattr(f, "__name__", "").lower()]
import datasets, stadet
from stadet.engine.runlog import git_revision
from stadet.tools.cli import main
assert stadet.__file__ == {str(site / "stadet" / "__init__.py")!r}, stadet.__file__
assert datasets.who == "another package" and git_revision() is None
assert main(["train", "demo_frame", "--print-config"]) == 0
words = "make-footage --out f --minutes 0.4 --scenes 2 --size 64 112 --hand-scale 2.2"
assert main(words.split()) == 0
words = "data.dataset=f/dataset.yaml data.size=[32,64] data.workers=0 loop.max_steps=1 output=r"
assert main(["train", "demo_frame", *words.split()]) == 0
found = list(stadet.open_detector("r/best.pt", "cpu")("f/videos", max_frames=3))
assert len(found) == 3 * len(list(__import__("pathlib").Path("f/videos").glob("*.mp4")))
import datasets
assert datasets.who == "another package"
"""
    script = work / "run.py"
    script.write_text(f"if __name__ == '__main__':\n    exec({code!r})\n")
    done = subprocess.run(
        [sys.executable, "-P", str(script)],
        cwd=work,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (work / "r" / "report" / "report.html").is_file()
