"""`stad counts` through the command line."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from stadet.datasets.formats.coco_video import read_coco_video, write_coco_video
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import AnnotationSet, Detections, VideoAnnotations
from stadet.detect.tubes.file import write_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.counts import FILES, starts_of, take_counts
from tests.detect.scene.test_counting import FPS, NAMES, SCENE, SIZE, tube
from tests.shared_data import SHARED

TUBES = [
    tube("pick", 0, 10, ["tuna"]),
    tube("serve", 20, 10, ["tray"]),
    tube("pick", 40, 10, ["rice"]),
    tube("till", 60, 10, ["away"]),
]
SHIFTS = '  shifts: {lunch: ["11:00", "15:00"]}\n'


@pytest.fixture
def files(tmp_path):
    """Tubes of two videos of 10 s; the truth of the first, looked at for 8 s."""
    videos = {name: VideoTubes(name, TUBES, FPS, 100) for name in ("v1", "v2")}
    write_tubes(tmp_path / "tubes.json", TubeSet(NAMES, videos))
    frames = np.concatenate([np.arange(t.start, t.stop) for t in TUBES])
    labels = np.zeros((len(frames), len(NAMES)), dtype=bool)
    labels[np.arange(len(frames)), np.repeat([t.label for t in TUBES], 10)] = True
    truth = VideoAnnotations.build(
        "v1",
        SIZE,
        FPS,
        np.arange(100) < 80,
        frames,
        np.concatenate([t.boxes for t in TUBES]),
        labels,
        np.repeat(np.arange(len(TUBES)), 10),
    )
    write_coco_video(tmp_path / "gt.json", AnnotationSet(NAMES, {"v1": truth}))
    (tmp_path / "scene.yaml").write_text(SCENE + SHIFTS)
    return tmp_path


def counts(folder, *more):
    return main(["counts", "--scene", str(folder / "scene.yaml"), *map(str, more)])


def rows(path):
    return list(csv.DictReader(path.open()))


def test_files_of_tubes(files, capsys):
    out, tubes = files / "counts", ["--tubes", files / "tubes.json", "--size", 100, 200]
    starts = ["--start", "v1=10:59:55", "--start", "v2=12:00"]
    assert counts(files, *tubes, "--out", out, *starts) == 0
    printed = capsys.readouterr().out
    assert "2 meals with 2 items" in printed and "v2: tuna: 8 - 1 + 0 = 7" in printed
    meals = rows(out / "meals.csv")
    assert [(m["video"], m["time"], m["items"], m["content"], m["shift"]) for m in meals] == [
        ("v1", "11:00:01.0", "1", "tuna x1", "lunch"),
        ("v2", "12:00:06.0", "1", "tuna x1", "lunch"),
    ]
    stock = [(r["video"], r["bin"], r["change"], r["stock"]) for r in rows(out / "stock.csv")]
    assert stock[:2] == [("v1", "tuna", "", "9"), ("v1", "tuna", "-1", "8")]
    assert ("v2", "rice", "-1", "2") in stock
    use = {(r["by"], r["period"], r["tool"]): r for r in rows(out / "use.csv")}
    assert use["hour", "10:00", "hands"]["seconds"] == "3.00"  # all but the last second's pick
    assert use["hour", "10:00", "hands"]["uses"] == "3"
    assert use["shift", "lunch", "till"]["uses"] == "2"
    assert use["shift", "no shift", "hands"]["share"] == "0.6000"  # of 5 s
    periods = {(r["period"], r["what"], r["bin"]): r for r in rows(out / "periods.csv")}
    assert periods["lunch", "meals", ""]["count"] == "2"
    assert periods["lunch", "meals", ""]["watched_s"] == "15.00"
    assert periods["no shift", "taken", "tuna"]["count"] == "1"
    assert json.loads((out / "counts.json").read_text())["schema"] == "stad-counts/1"
    assert "<svg" in (out / "counts.html").read_text()
    assert counts(files, *tubes, "--out", out) == 2  # is there
    assert "--overwrite" in capsys.readouterr().err
    assert counts(files, *tubes, "--out", out, "--overwrite") == 0
    assert "The time of day is not known" in capsys.readouterr().err
    assert {r["shift"] for r in rows(out / "stock.csv")} == {""}


def test_truth_beside_tubes_and_detections(files, capsys):
    truth = ["--ground-truth", files / "gt.json"]
    assert counts(files, *truth, "--out", files / "t") == 0
    assert "v1: tuna: 9 - 1 + 0 = 8" in capsys.readouterr().out
    tubes = ["--tubes", files / "tubes.json", *truth, "--truth"]
    assert counts(files, *tubes, "--out", files / "both") == 0
    told = capsys.readouterr()
    assert "1 videos without truth are left out" in told.err
    errors = json.loads((files / "both" / "counts.json").read_text())["errors"]
    assert errors["stock"]["right"] == 1 and errors["meals"]["exact_content"] == 1
    with DetectionsWriter(files / "d.jsonl", NAMES) as writer:
        for frame in range(0, 50):  # the till comes later
            for t in TUBES:
                if t.start <= frame < t.stop:
                    scores = 0.9 * np.eye(len(NAMES))[[t.label]]
                    box = t.boxes[[frame - t.start]]
                    writer.write("v1", frame, Detections(box, np.array([0.9]), scores))
        writer.processed("v1", 0, 49, fps=FPS)
    found = take_counts(
        files / "scene.yaml",
        detections=files / "d.jsonl",
        ground_truth=files / "gt.json",
        truth=True,
    )
    assert found.counts.videos[0].watched == pytest.approx(5.0)
    assert found.truth.videos[0].watched == pytest.approx(5.0)
    assert found.errors.stock_right == 1
    assert [m.closed_by for m in found.truth.videos[0].meals] == ["end"]  # the till is not seen


def test_mistakes(files, capsys):
    out, tubes = ["--out", files / "x"], ["--tubes", files / "tubes.json"]
    size = ["--size", 100, 200]
    for more, words in (
        ([*out, *tubes], "expected the size of its frames"),
        (out, "expected --tubes, --detections, --data or --ground-truth"),
        ([*out, *tubes, *size, "--truth"], "--truth: expected --data or --ground-truth"),
        ([*out, *tubes, *size, "--start", "v3=9:00"], "'v3' fits no video"),
        ([*out, *tubes, *size, "--start", "v1=9:00"], "found none of 'v2'"),
        ([*out, *tubes, *size, "--start", "9"], "--start: expected h:mm"),
        ([*out, *tubes, *size, "--start", "9:00"], "'v1' lasts until 9:00:09.9 and 'v2'"),
        ([*out, *tubes, *size, "--fps", "0"], "--fps: expected more than 0"),
    ):
        assert counts(files, *more) == 2
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1
    (files / "scene.yaml").write_text(SCENE.replace("[till]", "[tils]"))
    assert counts(files, *out, *tubes, *size) == 2
    assert "did you mean till" in capsys.readouterr().err
    (files / "scene.yaml").write_text(SCENE.partition("counts:")[0])
    assert counts(files, *out, *tubes, *size) == 2
    assert "expected a section counts" in capsys.readouterr().err
    assert not (files / "x").exists()


def test_videos_that_were_not_processed_are_left_out(files):
    truth = read_coco_video(files / "gt.json").videos["v1"]
    both = AnnotationSet(NAMES, {"v1": truth, "v0": replace(truth, name="v0")})
    with DetectionsWriter(files / "d.jsonl", NAMES) as writer:
        writer.processed("v1", 0, 49, fps=FPS)
    found = take_counts(
        files / "scene.yaml", detections=files / "d.jsonl", ground_truth=both, truth=True
    )
    assert [video.name for video in found.counts.videos] == ["v1"]
    assert [video.name for video in found.truth.videos] == ["v1"]
    assert "1 videos of which no frame was processed are left out." in found.notes
    assert found.errors.use["hands"].uses == (3, 0)


def test_tubes_without_a_rate(files, capsys):
    videos = {"v1": VideoTubes("v1", TUBES, None, 100)}
    write_tubes(files / "bare.json", TubeSet(NAMES, videos))
    tubes = ["--tubes", files / "bare.json", "--size", 100, 200, "--out", files / "out"]
    assert counts(files, *tubes) == 2
    assert "give --fps" in capsys.readouterr().err
    assert counts(files, *tubes, "--fps", FPS) == 0
    assert rows(files / "out" / "stock.csv")[1]["seconds"] == "1.00"


def test_detections_and_their_tubes_count_the_same(files, capsys):
    """All frames were processed; the file has no rate, so that --fps says it."""
    with DetectionsWriter(files / "d.jsonl", NAMES) as writer:
        for frame in range(100):
            for t in TUBES:
                if t.start <= frame < t.stop:
                    scores = 0.9 * np.eye(len(NAMES))[[t.label]]
                    box = t.boxes[[frame - t.start]]
                    writer.write("v1", frame, Detections(box, np.array([0.9]), scores))
        writer.processed("v1", 0, 99)
    command = ["tubes", "--detections", files / "d.jsonl", "--out", files / "linked.json"]
    assert main([str(word) for word in command]) == 0
    more = ["--size", 100, 200, "--fps", FPS, "--out"]
    assert counts(files, "--detections", files / "d.jsonl", *more, files / "a") == 0
    assert counts(files, "--tubes", files / "linked.json", *more, files / "b") == 0
    for name in FILES:
        assert (files / "a" / name).read_text() == (files / "b" / name).read_text(), name
    assert rows(files / "a" / "use.csv")[0]["seconds"] == "3.00"


@pytest.mark.parametrize("seen", ["tubes", "detections"])
def test_a_known_rate_stays(files, seen):
    if seen == "detections":
        with DetectionsWriter(files / "seen", NAMES) as writer:
            writer.processed("v1", 0, 99, fps=FPS)
    else:
        write_tubes(files / "seen", TubeSet(NAMES, {"v1": VideoTubes("v1", TUBES, FPS, 100)}))
    found = take_counts(files / "scene.yaml", **{seen: files / "seen"}, size=SIZE, fps=20.0)
    assert found.counts.videos[0].watched == pytest.approx(10.0)


def test_only_frames_take_part_that_were_processed_and_looked_at(files):
    truth = read_coco_video(files / "gt.json").videos["v1"]
    looked_at = np.ones(100, dtype=bool)
    looked_at[12:18] = False
    truth = replace(truth, looked_at=looked_at)
    with DetectionsWriter(files / "d.jsonl", NAMES) as writer:
        writer.processed("v1", 0, 29, fps=FPS)  # before the pick of rice
    found = take_counts(
        files / "scene.yaml",
        detections=files / "d.jsonl",
        ground_truth=AnnotationSet(NAMES, {"v1": truth}),
        truth=True,
    )
    assert found.truth.videos[0].watched == found.counts.videos[0].watched == pytest.approx(2.4)
    assert found.errors.use["hands"].uses == (2, 0)


def test_cameras_that_are_not_counted_and_bins_that_a_camera_does_not_show(files):
    shelf = "  shelf: {videos: [v2], zones: {tuna: [[0, 0], [0.25, 0], [0.25, 1], [0, 1]]}}\n"
    scene = SCENE.replace('["*"]', "[v1]").replace("counts:\n", shelf + "counts:\n")
    (files / "scene.yaml").write_text(scene)
    found = take_counts(files / "scene.yaml", files / "tubes.json", size=SIZE, out=files / "all")
    bins = {(stock.video.name, stock.bin) for stock in found.counts.stock}
    assert bins == {("v1", "tuna"), ("v1", "rice"), ("v2", "tuna")}
    told = {(r["camera"], r["bin"]) for r in rows(files / "all" / "periods.csv") if r["bin"]}
    assert told == {("counter", "tuna"), ("counter", "rice"), ("shelf", "tuna")}
    (files / "scene.yaml").write_text(scene.replace("counts:\n", "counts:\n  cameras: [counter]\n"))
    found = take_counts(files / "scene.yaml", files / "tubes.json", size=SIZE)
    assert [video.name for video in found.counts.videos] == ["v1"]
    assert found.notes[0] == "1 videos of cameras that are not counted are left out."


def test_a_service_past_midnight(files):
    starts = ["v1=23:59:55", "v2=24:10"]
    found = take_counts(files / "scene.yaml", files / "tubes.json", size=SIZE, start=starts)
    assert [s.initial for s in found.counts.stock if s.bin == "tuna"] == [9, 8]
    names = [period.name for _, period in found.counts.totals if period.by == "hour"]
    assert names == ["23:00", "0:00"]


def test_starts():
    names = ["monday-1a", "monday-1b", "tuesday"]
    assert starts_of([], names) == {}
    assert starts_of(["11:30"], names) == dict.fromkeys(names, 41400.0)
    assert starts_of(["8:00", "monday-1*=9:00:01"], names) == {
        "monday-1a": 32401.0,
        "monday-1b": 32401.0,
        "tuesday": 28800.0,
    }
    with pytest.raises(UserError, match="fits no video"):
        starts_of(["wednesday=9:00"], names)


@pytest.mark.skipif(SHARED is None, reason="needs ../shared/data")
def test_bottles_of_a_real_video(tmp_path):
    """NOTE.md of the data: three bottles; left out and back, left and middle out, middle and left
    back, right out and back."""
    data = SHARED / "take_put_real" / "dataset.yaml"
    (tmp_path / "scene.yaml").write_text("""\
schema: stad-scene/1
cameras: {table: {videos: ["bottle*"]}}
counts:
  stock:
    take: [take bottle]
    put: [put back bottle]
    bins: {bottles: {zone: null, initial: 3}}
  use: {hands: [take bottle, put back bottle]}
""")
    result = take_counts(tmp_path / "scene.yaml", data=data)
    (stock,) = result.counts.stock
    assert stock.levels() == [3, 2, 3, 2, 1, 2, 3, 2, 3]
    last_frames = [213, 404, 533, 534, 731, 865, 957, 1096]  # of the note's table
    found = [move.seconds for move in stock.moves]
    assert found == pytest.approx([(frame + 1) / 29.83 for frame in last_frames], abs=0.01)
    assert result.counts.total("uses", "hands") == 8
    assert result.counts.total("seconds", "hands") == pytest.approx(468 / 29.83, abs=0.01)


def test_the_page_in_a_browser(files):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium: apt-get install chromium")
    tubes = ["--tubes", files / "tubes.json", "--ground-truth", files / "gt.json", "--truth"]
    assert counts(files, *tubes, "--out", files / "out", "--start", "11:30") == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, dark in (("light", False), ("dark", True)):
            page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((files / "out" / "counts.html").as_uri())
            assert len(asked) == 1  # the page itself
            assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            ink = page.evaluate("getComputedStyle(document.body).color")
            light = [sum(map(int, c[4:-1].split(","))) / 765 for c in (colour, ink)]
            assert (light[0] < 0.3, light[1] > 0.7) == (dark, dark)
            hidden = page.evaluate(
                """[...document.querySelectorAll("svg text")].filter((text) => {
                  const box = text.getBoundingClientRect();
                  const svg = text.ownerSVGElement.getBoundingClientRect();
                  return box.left < svg.left - 1 || box.right > svg.right + 1;
                }).map((text) => text.textContent)"""
            )
            assert hidden == []
        browser.close()
