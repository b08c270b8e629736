"""`stad convert`: every direction on a small data set, and detections to tracks."""

import json

import cv2
import numpy as np
import pytest
import yaml

from stadet.datasets.dataset import load_dataset
from stadet.detect.detections.reader import DetectionsWriter, read_detections
from stadet.detect.structures import Detections
from stadet.tools import convert, pre_annotate
from stadet.tools.cli import run_verb

LENGTH = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two videos, a/b looked at in two ranges, c whole; three tracks, one of two classes."""
    root = tmp_path_factory.mktemp("data")
    for name in ("a/b", "c"):
        folder = root / "videos" / name
        folder.mkdir(parents=True)
        for frame in range(LENGTH):
            cv2.imwrite(str(folder / f"{frame + 1:05d}.png"), np.zeros((24, 32, 3), np.uint8))
    box = '<box frame="{}" outside="{}" xtl="{}" ytl="2" xbr="{}" ybr="9.5"/>'
    for name in ("b", "c"):
        tracks = "".join(
            f'<track id="{i}" label="{label}">'
            + "".join(box.format(f, o, x, x + 8) for f, o, x in boxes)
            + "</track>"
            for i, (label, boxes) in enumerate(
                [
                    ("pick", [(2, 0, 1), (8, 0, 7), (9, 1, 7)]),
                    ("put", [(2, 0, 1), (8, 0, 7)]),
                    ("put", [(5, 0, 20), (6, 0, 20), (7, 1, 0), (20, 0, 20.25)]),
                ]
            )
        )
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{name}.xml").write_text(f"<annotations>{tracks}</annotations>")
    content = {
        "format": "cvat",
        "names": ["put", "pick"],
        "looked_at": {"a/b": [[0, 10], [15, 29]]},
        "reverses": {"pick": "put"},
        "split": {"method": "videos", "val": 0.5},
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(content))
    return root


def stad(*arguments):
    return run_verb(convert, [str(argument) for argument in arguments])


def assert_same(ours, theirs, *, tracks=True):
    assert ours.names == theirs.names and sorted(ours.videos) == sorted(theirs.videos)
    for name, video in ours.videos.items():
        other = theirs.videos[name]
        columns = ["looked_at", "frames", "labels"] + ["track_ids"] * tracks
        for column in columns:
            np.testing.assert_array_equal(getattr(other, column), getattr(video, column))
        np.testing.assert_allclose(other.boxes, video.boxes, atol=1e-4)


KEEP_EVERYTHING = [kind for kind in convert.TARGETS if kind != "label-studio"]


@pytest.mark.parametrize("target", KEEP_EVERYTHING)
@pytest.mark.parametrize("through", KEEP_EVERYTHING)
def test_every_direction_keeps_everything(data, tmp_path, through, target, capsys):
    original = load_dataset(data).annotations
    videos = data / "videos"

    def load(folder):
        if (folder / "dataset.yaml").exists():
            return load_dataset(folder).annotations
        from stadet.datasets.formats.coco_video import read_coco_video

        return read_coco_video(folder / "gt.json")

    def place(folder, kind):
        return folder / "gt.json" if kind == "coco-video" else folder

    first, second = tmp_path / "first", tmp_path / "second"
    assert stad("--data", data, "--to", through, "--out", place(first, through)) == 0
    assert_same(original, load(first), tracks=through != "yolo-txt")
    source = (
        ["--from", "coco-video", "--annotations", first / "gt.json", "--videos", videos]
        if through == "coco-video"
        else ["--data", first]
    )
    assert stad(*source, "--to", target, "--out", place(second, target)) == 0
    assert_same(original, load(second), tracks="yolo-txt" not in (through, target))
    output = capsys.readouterr()
    assert "2 videos, 56 looked-at frames" in output.out
    assert ("holds no tracks" in output.err) == (through == "yolo-txt" or target == "yolo-txt")


def test_label_studio_keeps_all_but_the_looked_at_frames(data, tmp_path, capsys):
    tasks = tmp_path / "tasks.json"
    to = ["--to", "label-studio", "--out", tasks, "--keyframe-tolerance", 0]
    assert stad("--data", data, *to) == 0
    assert "cannot say which frames of a/b were looked at" in capsys.readouterr().err
    content = json.loads(tasks.read_text())
    assert sorted(task["data"]["video"] for task in content) == ["b", "c"]  # folders of frames
    assert "<VideoRectangle" in (tmp_path / "tasks.xml").read_text()
    assert stad("--data", data, *to) == 2  # nothing is replaced
    back = ["--from", "label-studio", "--annotations", tasks, "--videos", data / "videos"]
    back += ["--names", "put", "pick", "--to", "cvat", "--out", tmp_path / "cvat"]
    assert stad(*back) == 0, capsys.readouterr().err
    ours, theirs = load_dataset(data).annotations, load_dataset(tmp_path / "cvat").annotations
    for name, video in ours.videos.items():
        other = theirs.videos[name]
        assert other.looked_at.all()
        np.testing.assert_array_equal(other.frames, video.frames)
        np.testing.assert_array_equal(other.labels, video.labels)
        np.testing.assert_allclose(other.boxes, video.boxes, atol=1e-3)


def test_a_data_set_file_keeps_its_maps_and_split(data, tmp_path):
    assert stad("--data", data, "--to", "cvat", "--out", tmp_path / "out") == 0
    ours, theirs = load_dataset(data), load_dataset(tmp_path / "out")
    assert theirs.split.digest == ours.split.digest
    assert dict(theirs.reverses) == dict(ours.reverses)
    side = tmp_path / "val.json"
    assert stad("--data", data, "--side", "val", "--to", "coco-video", "--out", side) == 0
    assert len(json.loads(side.read_text())["videos"]) == 1


def test_detections_become_the_tracks_of_a_draft(data, tmp_path, capsys):
    path = tmp_path / "detections.jsonl"
    with DetectionsWriter(path, ["put", "pick"]) as writer:
        for frame in range(20):
            boxes = np.array([[frame / 2, 2, frame / 2 + 10, 12], [40, 0, 60, 9], [20, 12, 30, 22]])
            scores = np.array([[0.9, 0.1], [0.9, 0.9], [0.2, 0.5 if frame != 7 else 0.1]])
            writer.write("c", frame, Detections(boxes, np.ones(3), scores))
        writer.processed("c", 0, 24)
    out = tmp_path / "out"
    detections = ["--detections", path, "--threshold", "0.4"]
    arguments = [*detections, "--videos", data / "videos"]
    assert stad(*arguments, "--to", "cvat", "--out", out) == 0
    video = load_dataset_of_one(out)
    assert np.flatnonzero(video.looked_at).tolist() == list(range(25))
    first = video.labels[:, 0]  # the box beyond the frame is left out
    assert np.unique(video.track_ids[first]).size == 1 and first.sum() == 20
    assert np.unique(video.track_ids[~first]).size == 1 and (~first).sum() == 20
    xml = (out / "annotations" / "c.xml").read_text()
    assert xml.count('keyframe="1"') < 12 < xml.count('keyframe="0"')  # few boxes to correct
    assert "1 videos, 25 looked-at frames, 40 boxes" in capsys.readouterr().out
    to_coco = ["--to", "coco-video", "--out", out / "a.json"]
    assert stad(*arguments, *to_coco, "--threshold", 0.6, "--smooth", 0) == 0
    assert "20 boxes" in capsys.readouterr().out
    written = json.loads((out / "a.json").read_text())["annotations"]
    assert sorted(row["bbox"][0] for row in written) == [f / 2 for f in range(20)]  # not thinned
    draft = tmp_path / "draft"
    arguments = [str(a) for a in (data / "videos", *detections, "--out", draft)]
    assert run_verb(pre_annotate, arguments) == 0
    other = load_dataset_of_one(draft)
    for column in ("frames", "track_ids", "labels", "looked_at"):
        np.testing.assert_array_equal(getattr(other, column), getattr(video, column))
    np.testing.assert_allclose(other.boxes, video.boxes, atol=2 * 2 + 0.01)


def load_dataset_of_one(folder):
    path = folder / "dataset.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "split": {"method": "videos", "val": 0.0}}))
    (video,) = load_dataset(folder).annotations
    return video


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one of --data"),
        (["--data", "x", "--annotations", "y"], "expected one of --data"),
        (["--annotations", "y"], "expected --from"),
        (["--annotations", "y", "--from", "cvaat"], "did you mean cvat"),
        (["--annotations", "y", "--from", "cvat"], "expected --videos"),
        (["--annotations", "y", "--from", "coco-video", "--action", "x"], "--action means nothing"),
        (["--detections", "y"], "expected --videos or --data"),
    ],
)
def test_mistakes_give_one_line(tmp_path, capsys, arguments, message):
    assert stad(*arguments, "--to", "cvat", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_overwritten(data, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    assert stad("--data", data, "--to", "cvat", "--out", tmp_path) == 2
    assert "a new or an empty folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_detections_in_another_form(tmp_path, capsys):
    plain, columns, back = (tmp_path / n for n in ("d.jsonl", "d.parquet", "back.jsonl.gz"))
    with DetectionsWriter(plain, ("a", "b")) as writer:
        boxes = Detections(np.array([[1.5, 2, 9, 9]]), np.array([0.5]), np.array([[0.25, 0.75]]))
        writer.write("v", 3, boxes)
        writer.processed("v", 0, 9, fps=25)
    assert stad("--detections", plain, "--to", "detections", "--out", columns) == 0
    assert f"{columns.stat().st_size:,} bytes" in capsys.readouterr().out
    assert stad("--detections", columns, "--to", "detections", "--out", back) == 0
    (wanted,), (found,) = read_detections(plain), read_detections(back)
    np.testing.assert_array_equal(found.boxes, wanted.boxes)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    assert found.processed.tolist() == [[0, 9]] and found.clock.fps == 25
    assert stad("--detections", columns, "--to", "detections", "--out", back) == 2
    assert "exists" in capsys.readouterr().err
    arguments = ["--detections", columns, "--videos", tmp_path, "--to", "detections"]
    assert stad(*arguments, "--out", tmp_path / "other.jsonl") == 2
    assert "expected --detections alone, found --videos" in capsys.readouterr().err
