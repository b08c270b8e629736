"""A service over tiny models, in this process, and a client for it."""

from __future__ import annotations

import os
import shutil
import sys
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from stadet.tools.service.app import make_app
from stadet.tools.service.settings import ServiceSettings
from tests.datasets.numbered_videos import write_numbered
from tests.tools.small_checkpoints import save_small_checkpoint


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "counter").mkdir()
    save_small_checkpoint(folder / "counter" / "best.pt", "yolo")
    (folder / "broken.pt").write_bytes(b"no checkpoint")
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("clips") / "monday.mp4", count=20, rate=10)


@pytest.fixture
def make_client(models, tmp_path):
    clients = []

    def make(**settings):
        app = make_app(ServiceSettings(models=models, data=tmp_path / "service", **settings))
        client = TestClient(app, base_url="http://127.0.0.1:8000")
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox"] if sys.platform == "linux" and os.getuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def client(make_client):
    return make_client()


def send(client, path, name=None):
    """The id of an upload."""
    answer = client.post(
        "/api/uploads", params={"name": name or path.name}, content=path.read_bytes()
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def wait(client, job_id, seconds=120):
    """The job once it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = client.get(f"/api/jobs/{job_id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"still {job}")
