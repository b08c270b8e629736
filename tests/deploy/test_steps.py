"""The Dockerfiles' steps in a plain virtual environment: what they copy, install and start.

No container engine is needed. Steps that need root or Debian's archive (apt-get, useradd) are left
out; packages come from this environment instead of an index, so that a requirement of the named
extras that is not there still fails.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import site
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.deploy.test_files import instructions

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")
TOKEN = "a secret for this test"


def copied(folder: Path) -> Path:
    """The repository as COPY takes it: the files that git knows."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """{Dockerfile: the bin folder of the environment in which its pip step ran}."""
    found = {}
    source = copied(tmp_path_factory.mktemp("opt") / "stad")
    for name in ("Dockerfile", "Dockerfile.cuda"):
        steps = " ".join(text for step, text in instructions(name) if step == "RUN")
        (wanted,) = re.findall(r"/opt/stad\[[\w,]+\]", steps)
        if wanted in found:  # the same step
            found[name] = found[wanted]
            continue
        venv = tmp_path_factory.mktemp("image") / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (packages,) = venv.glob("lib/python*/site-packages")
        (packages / "outer.pth").write_text("\n".join(site.getsitepackages()))
        target = wanted.replace("/opt/stad", str(source))
        pip = [venv / "bin" / "python", "-m", "pip", "install", "-q", "--no-cache-dir"]
        subprocess.run(
            [*pip, "--no-index", "--no-build-isolation", target],
            check=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        found[name] = found[wanted] = venv / "bin"
    return found


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_what_is_installed_starts_as_the_image_does(name, installed, tmp_path):
    steps = dict(instructions(name))
    (tmp_path / "models").mkdir()
    places = {"/models": tmp_path / "models", "/data/service": tmp_path / "data" / "service"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(places.get(word, word)) for word in json.loads(steps["CMD"])]
    program = [installed[name] / word for word in json.loads(steps["ENTRYPOINT"])]
    kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    variables = dict(pair.split("=", 1) for pair in shlex.split(steps["ENV"]))
    environment |= {"XDG_CACHE_HOME": str(tmp_path / variables["XDG_CACHE_HOME"].lstrip("/"))}
    bare = subprocess.run(
        [*program, *command], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert bare.returncode == 2 and "STAD_TOKEN" in bare.stderr  # none is open to all by mistake
    process = subprocess.Popen(
        [*program, *command, "--port", str(port)],
        env={**environment, "STAD_TOKEN": TOKEN},
        cwd=tmp_path,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                assert urllib.request.urlopen(f"{address}/health", timeout=5).read() == b"ok"
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/api/models", timeout=5)
        asked = urllib.request.Request(
            f"{address}/api/models", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert json.load(urllib.request.urlopen(asked, timeout=30)) == []
        # the wheel brings the pages with it
        asked.full_url = f"{address}/"
        assert b"What happens in a video?" in urllib.request.urlopen(asked, timeout=30).read()
        process.send_signal(signal.SIGTERM)  # as docker stop does
        assert process.wait(timeout=10) == 143
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "data" / "service" / "queue.sqlite").is_file()
