"""stad render, from files to a video that is decoded again and looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.drawing.colours import class_colours
from stadet.detect.structures import AnnotationSet, Detections, Tube, VideoAnnotations
from stadet.detect.tubes.file import write_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.tools import render
from stadet.tools.cli import main, run_verb
from tests.datasets.numbered_videos import number_of, write_numbered

NAMES = ("pick up", "put back")
SIZE = (160, 240)  # boxes and labels below the row of blocks that shows a frame's number
BOX = [60.0, 60.0, 180.0, 130.0]


@pytest.fixture
def video(tmp_path):
    return write_numbered(tmp_path / "kitchen.mp4", count=20, size=SIZE, rate=Fraction(30000, 1001))


def write_detections(path, video="kitchen", column=0, last=19):
    with DetectionsWriter(path, NAMES, 0.01) as writer:
        scores = np.where(np.arange(2) == column, 0.9, 0.02)[None]
        for frame in range(last + 1):
            found = Detections(np.array([BOX]), np.ones(1), scores)
            writer.write(video, frame, found if frame >= 5 else Detections.empty(2))
        writer.processed(video, 0, last)
    return path


def write_truth(path, video="kitchen"):
    looked_at = np.arange(20) < 15
    annotations = VideoAnnotations.build(
        video, SIZE, 29.97, looked_at, [8], [BOX], [[True, False]], [3]
    )
    write_coco_video(path, AnnotationSet(NAMES, {video: annotations}))
    return path


def stad_render(*arguments):
    return main(["render", *(str(argument) for argument in arguments)])


def has_box(frame, column, offset=0):
    """Is the box's left side nearer to the class's colour than the ground? (yuv420p halves the
    colour of a line of one pixel.)"""
    colour = class_colours(NAMES)[column]
    line, ground = (
        np.linalg.norm(frame[80:120, offset + x].mean(axis=0) - colour) for x in (60, 70)
    )
    return line < 0.75 * ground


def test_boxes_in_a_video_of_the_same_size_rate_and_length(tmp_path, video, capsys):
    found = write_detections(tmp_path / "a.jsonl")
    assert stad_render("--video", video, "--detections", found, "--out", tmp_path / "o.mp4") == 0
    assert "boxed video: " in capsys.readouterr().out
    source, boxed = open_video(video), open_video(tmp_path / "o.mp4")
    assert (boxed.size, boxed.rate, len(boxed)) == (source.size, source.rate, len(source))
    for index, frame in boxed.frames():
        assert number_of(frame) == index
        assert has_box(frame, 0) == (index >= 5)


def test_threshold(tmp_path, video):
    found = write_detections(tmp_path / "a.jsonl")
    stad_render(
        "--video", video, "--detections", found, "--threshold", 0.95, "--out", tmp_path / "o.mp4"
    )
    assert not has_box(open_video(tmp_path / "o.mp4").frame(10), 0)


def test_truth_alone_is_dashed(tmp_path, video):
    truth = write_truth(tmp_path / "gt.json")
    assert stad_render("--video", video, "--ground-truth", truth, "--out", tmp_path / "o.mp4") == 0
    boxed, source = open_video(tmp_path / "o.mp4"), open_video(video)
    top = boxed.frame(8)[60, 64:176].astype(int).mean(axis=1)
    assert top.max() > 200 and top.min() < 60
    assert np.abs(boxed.frame(7)[60].astype(int) - source.frame(7)[60]).mean() < 10


def test_side_by_side_with_titles(tmp_path, video):
    first = write_detections(tmp_path / "a.jsonl", column=0)
    second = write_detections(tmp_path / "b.jsonl", column=1)
    code = stad_render(
        *("--video", video, "--detections", first, second, "--titles", "baseline", "recurrent"),
        *("--ground-truth", write_truth(tmp_path / "gt.json"), "--out", tmp_path / "o.mp4"),
    )
    boxed = open_video(tmp_path / "o.mp4")
    assert code == 0 and boxed.size == (SIZE[0], 2 * SIZE[1])
    frame = boxed.frame(10)
    assert has_box(frame, 0) and has_box(frame, 1, offset=SIZE[1])


def test_tubes(tmp_path, video):
    tube = Tube(start=4, boxes=np.array([BOX] * 3), label=1, score=0.8)
    path = tmp_path / "tubes.json"
    write_tubes(path, TubeSet(NAMES, {"kitchen": VideoTubes("kitchen", [tube])}))
    assert stad_render("--video", video, "--tubes", path, "--out", tmp_path / "o.mp4") == 0
    drawn = [has_box(frame, 1) for _, frame in open_video(tmp_path / "o.mp4").frames()]
    assert drawn == [4 <= index < 7 for index in range(20)]


def test_a_part_of_the_video(tmp_path, video):
    found = write_detections(tmp_path / "a.jsonl")
    stad_render(
        *("--video", video, "--detections", found, "--out", tmp_path / "o.mp4"),
        *("--start", 8.5 * 1001 / 30000, "--seconds", 5 * 1001 / 30000),
    )
    numbers = [number_of(frame) for _, frame in open_video(tmp_path / "o.mp4").frames()]
    assert numbers == [9, 10, 11, 12, 13]


def test_variable_rate_keeps_its_times(tmp_path):
    pts = np.cumsum(np.random.default_rng(0).integers(900, 9000, 20))
    path = write_numbered(tmp_path / "kitchen.mp4", count=20, size=SIZE, pts=pts)
    found = write_detections(tmp_path / "a.jsonl")
    stad_render("--video", path, "--detections", found, "--out", tmp_path / "o.mp4")
    boxed = open_video(tmp_path / "o.mp4")
    np.testing.assert_allclose(boxed.timestamps, open_video(path).timestamps, atol=1e-4)
    assert [number_of(frame) for _, frame in boxed.frames()] == list(range(20))


def test_a_folder_of_videos(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_numbered(tmp_path / "in" / f"{name}.mp4", count=20, size=SIZE)
    with DetectionsWriter(tmp_path / "all.jsonl", NAMES, 0.01) as writer:
        for name in ("a", "b"):
            writer.processed(name, 0, 19)
    out = tmp_path / "boxed"
    code = stad_render(
        "--video", tmp_path / "in", "--detections", tmp_path / "all.jsonl", "--out", out
    )
    assert code == 0 and sorted(p.name for p in out.glob("*.mp4")) == ["a.mp4", "b.mp4"]


def write_cvat(path):
    box = 'frame="{}" outside="{}" xtl="60" ytl="60" xbr="180" ybr="130" occluded="0" keyframe="1"'
    path.write_text(
        "<annotations><version>1.1</version><meta><task><size>20</size><start_frame>0</start_frame>"
        "<stop_frame>19</stop_frame><original_size><width>240</width><height>160</height>"
        '</original_size></task></meta><track id="0" label="pick up">'
        f"<box {box.format(2, 0)}/><box {box.format(12, 1)}/></track></annotations>"
    )


def test_a_data_set(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "annotations").mkdir()
    write_numbered(tmp_path / "videos" / "kitchen.mp4", count=20, size=SIZE)
    write_cvat(tmp_path / "annotations" / "kitchen.xml")
    (tmp_path / "dataset.yaml").write_text("format: cvat\nsplit: {block_seconds: 0.2, val: 0.5}\n")
    out = tmp_path / "boxed"
    assert stad_render("--data", tmp_path / "dataset.yaml", "--out", out) == 0
    top = open_video(out / "kitchen.mp4").frame(8)[60, 64:176].astype(int).mean(axis=1)
    assert top.max() > 200 and top.min() < 60


def one_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "kitchen.mp4"], "nothing to draw"),
        (["--detections", "a.jsonl"], "no video to draw into"),
        (["--video", "no.mp4", "--detections", "a.jsonl"], "no.mp4"),
        (["--video", "kitchen.mp4", "--detections", "no.jsonl"], "no.jsonl"),
        (["--video", "kitchen.mp4", "--detections", "other.jsonl"], "found those of office"),
        (["--video", "kitchen.mp4", "--detections", "long.jsonl"], "found frame 30"),
        (
            ["--video", "kitchen.mp4", "--detections", "a.jsonl", "--titles", "x", "y"],
            "expected 1 --titles, one a file, found 2",
        ),
        (
            ["--video", "kitchen.mp4", "--detections", "a.jsonl", "a.jsonl", "--tubes", "t.json"],
            "as many --tubes as --detections, found 1 and 2",
        ),
        (["--video", "kitchen.mp4", "--detections", "a.jsonl", "--start", "9"], "inside its 0.63"),
        (["--video", "kitchen.mp4", "--detections", "a.jsonl", "--seconds", "0"], "above 0"),
        (["--video", "empty.mp4", "--detections", "a.jsonl"], "an empty file"),
    ],
)
def test_mistakes_are_one_line(tmp_path, video, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("empty.mp4").touch()
    write_detections("a.jsonl")
    write_detections("other.jsonl", video="office")
    write_detections("long.jsonl", last=30)
    assert stad_render(*arguments, "--out", "o.mp4") == 2
    assert message in one_line(capsys)
    assert not Path("o.mp4").exists()


def test_the_video_itself_is_never_overwritten(tmp_path, video, capsys):
    found = write_detections(tmp_path / "a.jsonl")
    before = video.read_bytes()
    assert stad_render("--video", video, "--detections", found, "--out", video) == 2
    assert "than the video's own" in one_line(capsys) and video.read_bytes() == before


def test_a_cut_video_is_drawn_and_said(tmp_path, capsys):
    path = write_numbered(
        tmp_path / "kitchen.mp4", size=SIZE, container_options={"movflags": "faststart"}
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with DetectionsWriter(tmp_path / "a.jsonl", NAMES, 0.01) as writer:
        writer.processed("kitchen", 0, 5)
    out = tmp_path / "o.mp4"
    assert stad_render("--video", path, "--detections", tmp_path / "a.jsonl", "--out", out) == 0
    assert "declares 60 frames" in capsys.readouterr().err
    assert 20 < len(open_video(out)) < 60


def test_opencv_without_its_system_library_is_one_line(tmp_path, video, capsys, monkeypatch):
    def fail(args):
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(render, "run", fail)
    assert run_verb(render, ["--video", "a.mp4", "--out", "b.mp4"], "stad render") == 2
    assert "apt-get install libgl1 libglib2.0-0" in one_line(capsys)


def test_as_a_script_and_help():
    program = [sys.executable, "tools/render.py", "--help"]
    root = Path(render.__file__).resolve().parent.parent
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout


def test_coco_results_are_accepted(tmp_path, video):
    truth = write_truth(tmp_path / "gt.json")
    image = json.loads(truth.read_text())["images"][10]
    assert image["frame_id"] == 10
    results = [{"image_id": image["id"], "category_id": 2, "bbox": [60, 60, 120, 70], "score": 0.8}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    code = stad_render(
        *("--video", video, "--detections", tmp_path / "results.json"),
        *("--ground-truth", truth, "--out", tmp_path / "o.mp4"),
    )
    assert code == 0 and has_box(open_video(tmp_path / "o.mp4").frame(10), 1)
