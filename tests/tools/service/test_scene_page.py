"""The page of zones in a real browser: what is dragged, typed and touched is in the file."""

from __future__ import annotations

import re
import shutil

import pytest

from stadet.detect.scene.file import read_scene
from tests.datasets.numbered_videos import write_numbered
from tests.tools.service.browser import PHONE, fits, picture, until
from tests.tools.small_checkpoints import save_small_checkpoint

httpx = pytest.importorskip("httpx")

SCENE = """\
schema: stad-scene/1
cameras:
  counter:
    videos: ["monday*"]
    zones:
      bin: [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]   # measured
      tray: [[0.55, 0.5], [0.9, 0.5], [0.9, 0.95], [0.55, 0.95]]
    lines:
      hatch: [[0.5, 1.0], [0.5, 0.0]]
  door: {}
rules:
  - {name: touched, kind: presence, zone: bin}
"""
BIN = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]
VIDEO_SIZE = (160, 64)  # width, height of what `write_numbered` writes


@pytest.fixture(scope="module")
def service(tmp_path_factory, start_stad):
    """(address, folder of scenes) of a running service with a finished job."""
    models, scenes = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("scenes")
    save_small_checkpoint(models / "counter.pt", "yolo")
    arguments = ["--models", models, "--data", tmp_path_factory.mktemp("service"), "--port", 0]
    process = start_stad("serve", *arguments, "--scenes", scenes)
    found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stderr)))
    clip = write_numbered(tmp_path_factory.mktemp("clips") / "monday 1.mp4", count=20, rate=10)
    with httpx.Client(base_url=found[0], timeout=60) as client:
        upload = client.post(
            "/api/uploads", params={"name": clip.name}, content=clip.read_bytes()
        ).json()
        wanted = {"kind": "detect", "model": "counter.pt", "uploads": [upload["id"]]}
        job = client.post("/api/jobs", json=wanted).json()
        with client.stream("GET", f"/api/jobs/{job['id']}/events") as answer:
            assert '"done"' in list(answer.iter_lines())[-2]
    return found[0], scenes


@pytest.fixture
def page(chromium, service, request):
    """The page of a fresh scene file, with its first frame loaded."""
    address, scenes = service
    (scenes / "counter.yaml").write_text(SCENE)
    context = chromium.new_context(**getattr(request, "param", {}))
    outside, errors = [], []
    found = context.new_page()
    found.set_default_timeout(30_000)
    found.on(
        "request",
        lambda sent: None if sent.url.startswith((address, "data:")) else outside.append(sent.url),
    )
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.path = scenes / "counter.yaml"
    found.goto(f"{address}scenes")
    found.get_by_role("link", name="counter.yaml").click()
    until(found, "document.getElementById('frame')?.naturalWidth === 160")
    yield found
    context.close()
    assert not outside and not errors


def zones(page):
    found = read_scene(page.path).cameras["counter"].zones
    return {name: points.tolist() for name, points in found.items()}


def save(page, said="Saved."):
    page.get_by_role("button", name="Save").click()
    until(page, "said => document.getElementById('said').textContent.startsWith(said)", said)


def handle(page, number):
    return page.locator(f"#points .point[data-at='{number}']")


def place(page, x, y):
    """Pixels of the window of a point in shares of the frame."""
    box = page.locator("#shapes").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page, start, stop, touch=False):
    """Drag from a point in shares of the frame to another."""
    (x, y), (u, v) = place(page, *start), place(page, *stop)
    if not touch:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move((x + u) / 2, (y + v) / 2, steps=4)
        page.mouse.move(u, v)
        page.mouse.up()
        return
    session = page.context.new_cdp_session(page)
    for kind, where in (
        ("touchStart", (x, y)),
        *(("touchMove", (x + k / 8 * (u - x), y + k / 8 * (v - y))) for k in range(1, 9)),
        ("touchEnd", None),
    ):
        points = [] if where is None else [{"x": where[0], "y": where[1]}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.mark.parametrize(
    "page", [{}, {"viewport": PHONE, "has_touch": True, "color_scheme": "dark"}], indirect=True
)
def test_a_dragged_point_is_in_the_file(page):
    touch = page.viewport_size["width"] == PHONE["width"]
    page.locator("#view").scroll_into_view_if_needed()
    drag(page, (0.1, 0.1), (0.2, 0.3), touch)
    picture(page, f"zones_{page.viewport_size['width']}")
    assert fits(page)
    save(page)
    moved = zones(page)["bin"]
    pixel = 1.5 / page.locator("#shapes").bounding_box()["height"]  # of the screen
    assert moved[0] == pytest.approx([0.2, 0.3], abs=pixel) and moved[1:] == BIN[1:]
    assert all(side == round(side, 4) for side in moved[0])
    changed = [
        (a, b)
        for a, b in zip(SCENE.splitlines(), page.path.read_text().splitlines(), strict=True)
        if a != b
    ]
    assert len(changed) == 1 and changed[0][1].endswith("# measured")


def test_a_zone_that_crosses_itself_is_refused_beside_it(page):
    drag(page, (0.1, 0.1), (0.6, 0.3))
    save(page, "Not saved")
    rows = page.locator("#list li")
    assert "does not cross itself" in rows.nth(0).locator(".problem").inner_text()
    assert rows.nth(1).locator(".problem").inner_text() == ""
    assert page.path.read_text() == SCENE
    picture(page, "zones_crossed")
    page.get_by_role("button", name="Undo").click()
    assert page.get_by_role("button", name="Save").is_disabled()  # as in the file
    assert page.locator("#list .problem").first.inner_text() == ""
    drag(page, (0.1, 0.1), (0.15, 0.1))
    save(page)
    assert zones(page)["bin"][0][0] == pytest.approx(0.15, abs=0.003)


def test_by_keyboard_alone(page):
    width, height = VIDEO_SIZE
    handle(page, 1).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("ArrowDown")
    save(page)
    x, y = 0.4 + 2 / width, 0.1 - 10 / height
    y = max(y, 0) + 1 / height
    assert zones(page)["bin"][1] == pytest.approx([x, y], abs=2e-4)
    page.locator("#points .edge[data-at='0']").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.at") == "1"
    page.keyboard.press("ArrowUp")
    handle(page, 4).focus()
    page.keyboard.press("Delete")
    save(page)
    assert [len(points) for points in zones(page).values()] == [4, 4]
    assert zones(page)["bin"][0] == BIN[0] and zones(page)["bin"][3] == BIN[2]
    before = page.path.read_text()
    handle(page, 0).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.get_by_role("button", name="Save").is_enabled()
    page.keyboard.press("Control+z")  # strokes of one key in one
    assert page.get_by_role("button", name="Save").is_disabled()
    assert page.path.read_text() == before


def test_zones_and_lines_come_and_go(page):
    page.get_by_role("button", name="Add zone").click()
    name = page.locator("#list li").nth(3).locator("input")
    assert name.input_value() == "zone 1"
    name.fill("sink: left")
    page.get_by_role("button", name="Add line").click()
    page.get_by_role("button", name="Turn line").click()
    drag(page, (0.5, 0.3), (0.7, 0.2))
    page.locator("#list li").nth(0).locator("input").fill("box")  # as named by a rule
    page.locator("#list li").nth(1).get_by_role("button", name="Delete").click()
    save(page)
    scene = read_scene(page.path)
    camera = scene.cameras["counter"]
    assert list(camera.zones) == ["box", "sink: left"] and list(camera.lines) == ["hatch", "line 1"]
    assert camera.lines["line 1"][0] == pytest.approx((0.7, 0.2), abs=0.003)
    assert camera.lines["line 1"][1] == (0.5, 0.7)
    assert scene.rules[0].when.zone == "box"
    assert page.locator("[data-rule] .named").inner_text() == "box"
    picture(page, "zones_more")
    page.locator("#list li").nth(0).get_by_role("button", name="Delete").click()
    save(page, "Not saved")
    assert "zone 'box' is unknown" in page.locator("[data-rule] .problem").inner_text()
    assert "box" in read_scene(page.path).cameras["counter"].zones
    page.keyboard.press("Control+z")
    page.locator("#list li").nth(1).locator("input").fill("box")
    save(page, "Not saved")
    assert "two are called 'box'" in page.locator("#list .problem").nth(1).inner_text()


def test_a_file_that_changed_meanwhile(page):
    others = SCENE.replace("0.95", "0.93")
    page.path.write_text(others)
    drag(page, (0.1, 0.1), (0.2, 0.3))
    save(page, "Not saved: counter.yaml was changed by somebody else")
    assert page.path.read_text() == others
    page.on("dialog", lambda dialog: dialog.accept())  # changes would be lost
    page.reload()
    until(page, "document.getElementById('frame')?.naturalWidth === 160")
    drag(page, (0.1, 0.1), (0.2, 0.3))
    save(page)
    assert zones(page)["tray"][2] == [0.9, 0.93]


def test_frames_and_cameras(page):
    first = page.locator("#frame").get_attribute("src")
    page.locator("#second").fill("0.75")
    page.locator("#second").press("Tab")
    until(
        page,
        "old => { const i = document.getElementById('frame');"
        " return i.src.endsWith('seconds=0.75') && i.complete && i.naturalWidth === 160 }",
        first,
    )
    page.locator("#camera").select_option("door")  # of which no job shows a frame
    assert page.locator("#frame").is_hidden() and page.locator("#list li").count() == 0
    page.get_by_role("button", name="Add zone").click()
    save(page)
    assert list(read_scene(page.path).cameras["door"].zones) == ["zone 1"]
    page.locator("#camera").select_option("counter")
    until(page, "!document.getElementById('frame').hidden")
    assert page.locator("#list li").count() == 3


def test_a_picture_of_ones_own(page, tmp_path):
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "view.png"), np.zeros((30, 90, 3), np.uint8))
    page.locator("#own").set_input_files(tmp_path / "view.png")
    until(page, "document.getElementById('frame').naturalWidth === 90")
    assert page.locator("#shapes").get_attribute("viewBox") == "0 0 90 30"
    (tmp_path / "view.txt").write_text("no picture")
    shutil.copy(tmp_path / "view.txt", tmp_path / "bad.png")
    page.locator("#own").set_input_files(tmp_path / "bad.png")
    until(page, "document.getElementById('said').textContent === 'No frame: this is no picture'")
