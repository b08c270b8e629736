"""The pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import csv
import re
import shutil
import threading
import time
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from stadet.datasets.footage.writer import VideoWriter
from stadet.tools.cli import main
from stadet.tools.streams.page import LivePage
from tests.datasets.numbered_videos import numbered_frame, write_numbered
from tests.tools.service.browser import PHONE, fits, picture, until
from tests.tools.small_checkpoints import save_small_checkpoint

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
COLOURS = {
    "palm": (220, 40, 40),
    "thumb": (40, 200, 40),
    "wrist": (40, 60, 220),
    "nails": (230, 230, 230),
}
COVERED = """[...document.querySelectorAll("#timeline button")].filter((mark) => {
  mark.scrollIntoView({ block: "center" });
  const box = mark.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return top !== mark;
}).length"""  # marks of the timeline that something hides


def shades(name, frames, seed):
    """(frames, 3) colours of a step."""
    noise = np.random.default_rng(seed).integers(-15, 15, (frames, 3))
    return np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A detector, and a classifier of four steps that colour tells."""
    folder, data = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("steps")
    save_small_checkpoint(folder / "counter.pt", "yolo")
    for side in ("train", "val"):
        for name in COLOURS:
            for video in range(3):
                place = data / side / name / f"{side}_{name}{video}"
                place.mkdir(parents=True)
                for number, shade in enumerate(shades(name, 6, [video, side == "val"])):
                    image = np.broadcast_to(shade, (16, 24, 3))
                    cv2.imwrite(str(place / f"{number:05d}.png"), image[..., ::-1])
    settings = [
        *("model.name=convlstm", "input.size=[16, 24]", "input.workers=0", "input.batch=4"),
        "model.options={hidden: 8, grid: 2, dropout: 0.0, activation: tanh}",
        *("sampling.frames=4", "loop.epochs=12", "loop.optimiser.lr=0.03"),
        *("augment.blur=0", "augment.noise=0", "augment.colour=0"),
    ]
    run = tmp_path_factory.mktemp("runs") / "steps"
    assert main(["train-classifier", *settings, f"data.root={data}", f"output={run}"]) == 0
    shutil.copy(run / "best.pt", folder / "steps.pt")
    return folder, run.parent


@pytest.fixture(scope="module")
def cameras():
    """The address of `stad live`, with one camera at work."""
    stop = threading.Event()

    def film(page):
        number = 0
        while not stop.wait(0.05):
            number += 1
            status = {"line": "20.0 fps  latency 31 / 58 ms"}
            page.show("front door", numbered_frame(number % 1000), status)

    with LivePage(["front door"], port=0) as page:
        camera = threading.Thread(target=film, args=[page])
        camera.start()
        yield page.address
        stop.set()
        camera.join()


@pytest.fixture(scope="module")
def address(models, cameras, tmp_path_factory, start_stad):
    """A running service."""
    folder, runs = models
    data = tmp_path_factory.mktemp("service")
    arguments = ["--models", folder, "--data", data, "--runs", runs, "--live", cameras]
    process = start_stad("serve", *arguments, "--port", 0)
    for line in process.stderr:
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise AssertionError("the service did not start")


@pytest.fixture
def page(chromium, address, request):
    """A page that no request may leave; its errors are the test's."""
    context = chromium.new_context(**getattr(request, "param", {}))
    outside, errors = [], []
    found = context.new_page()
    found.set_default_timeout(60_000)
    host = urlsplit(address).netloc
    found.on(
        "request",
        lambda sent: (
            None
            if urlsplit(sent.url).netloc in (host, "") or sent.url.startswith(("data:", "blob:"))
            else outside.append(sent.url)
        ),
    )
    found.on(
        "response",
        lambda answer: errors.append(f"{answer.status} {answer.url}") if answer.status > 399 else 0,
    )
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield found
    context.close()
    assert not outside and not errors


def film(path, name):
    with VideoWriter(path, (48, 64), 10) as writer:
        for shade in shades(name, 8, 99):
            writer.write(np.ascontiguousarray(np.broadcast_to(shade, (48, 64, 3))))
    return path


def choose(page, model):
    page.locator("#model").select_option(model)


@pytest.mark.parametrize("page", [{}, {"viewport": PHONE, "color_scheme": "dark"}], indirect=True)
def test_from_a_clip_to_its_events(page, address, tmp_path):
    clip = write_numbered(tmp_path / "monday.mp4", count=50, rate=10)
    page.goto(address)
    picture(page, f"home_{page.viewport_size['width']}")
    assert fits(page)
    page.locator("#videos").set_input_files(clip)
    choose(page, "counter.pt")
    page.locator("#threshold").fill("0.001")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/jobs/*")
    page.locator("#video").wait_for()  # the page has followed the progress to the end
    assert page.locator("#state").inner_text() == "done"
    seconds = page.evaluate(
        """async () => {
          const video = document.getElementById("video");
          video.muted = true;
          await video.play();
          while (video.currentTime < 0.3) await new Promise((next) => setTimeout(next, 50));
          video.pause();
          return video.duration;
        }"""
    )
    assert seconds == pytest.approx(5.0, abs=0.2)
    event = page.locator("#timeline button").last
    start = float(event.get_attribute("data-start"))
    page.evaluate("document.getElementById('video').currentTime = 4.9")
    event.focus()
    page.keyboard.press("Enter")  # a click without a mouse
    until(
        page,
        "start => { const now = document.getElementById('video').currentTime;"
        " return now >= start && now < start + 1.5 && now < 4.85 }",
        start,
    )
    picture(page, f"job_{page.viewport_size['width']}")
    assert fits(page)
    # every event can be reached by mouse, finger and keyboard
    assert float(page.locator("#timeline").get_attribute("data-seconds")) == pytest.approx(5.0)
    assert page.evaluate(COVERED) == 0
    first = page.locator("#timeline button").first
    first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.matches('#timeline button')")
    assert not first.evaluate("mark => mark === document.activeElement")
    whole = page.locator("#events tbody tr").count()
    one = page.locator("#events tbody tr[data-class='pick up']").count()
    page.locator("#class").select_option("pick up")
    assert page.locator("#events tbody tr:visible").count() == one < whole
    assert page.locator("#timeline button:visible").count() == one
    assert page.locator("#shown").inner_text() == f"{one} of {whole} events"
    page.locator("#class").select_option("")
    with page.expect_download() as download:
        page.get_by_role("link", name="events.csv").click()
    with open(download.value.path(), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == page.locator("#events tbody tr").count() > 0
    page.locator("#score").fill("1")
    assert page.locator("#events tbody tr:visible").count() == 0


@pytest.mark.parametrize("page", [{"viewport": PHONE}], indirect=True)
def test_several_videos_are_a_job_each_and_the_list_follows_them(page, address, tmp_path):
    clips = [write_numbered(tmp_path / f"{name}.mp4", count=8) for name in ("one", "two")]
    page.goto(address)
    before = page.locator("#jobs tbody tr").count()
    page.locator("#videos").set_input_files(clips)
    choose(page, "counter.pt")
    page.get_by_role("button", name="Start").click()
    until(page, "n => document.querySelectorAll('#jobs tbody tr').length === n", before + 2)
    page.evaluate("document.title = 'not loaded again'")
    until(page, "!document.querySelector('#jobs tr[data-ended=no]')")
    assert page.locator("#jobs .state").all_inner_texts()[:2] == ["done", "done"]
    assert page.title() == "not loaded again"
    picture(page, "jobs")
    assert fits(page)


def test_what_is_not_there_is_a_page(chromium, address):
    page = chromium.new_page()
    assert page.goto(f"{address}jobs/{'0' * 32}").status == 404
    assert page.locator("h1").inner_text() == "404: Not Found"
    assert "no such job" in page.locator("main").inner_text()
    page.close()


@pytest.mark.parametrize("page", [{"viewport": PHONE}], indirect=True)
def test_missing_steps_are_named(page, address, tmp_path):
    page.goto(f"{address}handwash")
    clips = [film(tmp_path / f"{name}.mp4", name) for name in ("palm", "wrist")]
    page.locator("#videos").set_input_files(clips)
    choose(page, "steps.pt")
    page.get_by_role("button", name="Start").click()
    page.locator(".verdict").wait_for()
    said = page.locator(".verdict").inner_text()
    assert said == "2 of 4 steps are missing: nails, thumb."
    assert page.locator(".steps .missing").count() == 2
    assert page.locator(".steps .done img").count() == 2
    until(page, "[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    picture(page, "handwash")
    assert fits(page)


def test_no_video_is_told(page, address, tmp_path):
    notes = tmp_path / "<b>notes</b>.mp4".replace("/", "_")
    notes.write_text("milk, eggs")
    page.goto(address)
    page.locator("#videos").set_input_files(notes)
    choose(page, "counter.pt")
    page.get_by_role("button", name="Start").click()
    page.locator(".state.failed").wait_for()
    assert "expected a video" in page.locator("#message").inner_text()
    assert page.locator("main b").count() == 0


def test_live_cameras(page, address):
    page.goto(f"{address}live", wait_until="commit")
    until(page, "document.images[0]?.naturalWidth > 0")
    assert "latency 31 / 58 ms" in page.locator("[data-camera]").inner_text()
    picture(page, "live")


def test_cameras_that_go_away_and_come_back(chromium, models, tmp_path, start_stad):
    """The page of cameras follows by itself; here answers of 503 are no errors of the page."""
    with LivePage(["door"], port=0) as live:
        port = int(live.address.rstrip("/").rsplit(":")[-1])
    arguments = ["--models", models[0], "--data", tmp_path / "data", "--port", 0]
    process = start_stad("serve", *arguments, "--live", f"http://127.0.0.1:{port}/")
    address = next(filter(None, (re.search(r"http://\S+", line) for line in process.stderr)))[0]
    page = chromium.new_page()
    page.goto(f"{address}live")
    assert "does not answer" in page.locator("main").inner_text()

    def appears():
        with LivePage(["door"], port=port) as live:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                live.show("door", numbered_frame(7), {"line": "at work"})
                with contextlib.suppress(playwright.Error):  # the page is just loading itself anew
                    if page.evaluate(
                        "document.images[0]?.naturalWidth > 0"
                        " && document.querySelector('[data-camera]')?.textContent === 'at work'"
                    ):
                        return True
                time.sleep(0.1)
        return False

    assert appears()
    until(page, "document.querySelector('[data-camera]').textContent.startsWith('no answer')")
    assert appears()
    page.close()


@pytest.mark.parametrize("page", [{"viewport": PHONE}], indirect=True)
def test_reports_of_runs(page, address):
    page.goto(f"{address}runs")
    page.get_by_role("link", name="steps").click()
    assert page.locator("h1").count() and page.url.endswith("/runs/steps")
    picture(page, "run")
