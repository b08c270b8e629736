"""The data set file: a small one on disk, read whole; wrong ones give one line."""

import cProfile
import dataclasses
import json
import textwrap

import cv2
import numpy as np
import pytest

from stadet.datasets.dataset import DatasetConfig, load_dataset, read_dataset_file
from stadet.datasets.footage.catalog import find_video_paths
from stadet.datasets.formats import FORMATS
from stadet.datasets.splits.ranges import mask_to_ranges, ranges_to_mask
from stadet.engine.errors import UserError
from tests.shared_data import SHARED

XML = """<annotations><meta><task><labels><label><name>pick</name></label>
<label><name>put</name></label></labels></task></meta>
<track id="0" label="pick"><box frame="2" outside="0" xtl="1" ytl="1" xbr="9" ybr="9"/>
<box frame="5" outside="0" xtl="4" ytl="1" xbr="12" ybr="9"/></track></annotations>"""

SPLIT = "split: {method: blocks, block_seconds: 0.2, val: 0.4}\n"


def make(tmp_path, yaml=SPLIT, *, videos=("a", "b"), annotated=("a", "b"), length=20):
    for name in videos:
        folder = tmp_path / "videos" / name
        folder.mkdir(parents=True)
        for frame in range(length):
            cv2.imwrite(str(folder / f"{frame + 1:05d}.png"), np.zeros((24, 32, 3), np.uint8))
    for name in annotated:
        path = tmp_path / "annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(XML)
    path = tmp_path / "dataset.yaml"
    path.write_text("format: cvat\n" + textwrap.dedent(yaml))
    return path


def test_loads_annotations_videos_and_split(tmp_path):
    yaml = SPLIT + "reverses: {pick: put}\nframe_folder_fps: 20\nviews: {counter: [a, b]}\n"
    dataset = load_dataset(make(tmp_path, yaml))
    assert dataset.names == ("pick", "put")
    assert dict(dataset.reverses) == {"pick": "put", "put": "pick"}
    assert dataset.annotations.videos["a"].frames.tolist() == [2, 3, 4, 5]
    assert len(dataset.open_video("b")) == 20 and dataset.open_video("b").fps == 20
    assert list(dataset.video_paths) == ["a", "b"]
    train, val = dataset.side("train"), dataset.side("val")
    np.testing.assert_array_equal(train.videos["a"].looked_at, ~val.videos["a"].looked_at)
    np.testing.assert_array_equal(val.videos["a"].looked_at, val.videos["b"].looked_at)
    assert set(dataset.split.video_digests) == {"a", "b"}
    with pytest.raises(UserError, match="no video 'c'"):
        dataset.open_video("c")
    assert load_dataset(tmp_path).split.digest == dataset.split.digest  # by its folder


def test_looked_at_narrows(tmp_path):
    yaml = SPLIT + "looked_at: {a: [[0, 3], [10, 19]]}\n"
    dataset = load_dataset(make(tmp_path, yaml))
    a, b = dataset.annotations
    assert mask_to_ranges(a.looked_at) == [[0, 3], [10, 19]] and a.frames.tolist() == [2, 3]
    assert b.looked_at.all()
    (tmp_path / "dataset.yaml").write_text(
        "format: cvat\nlooked_at: boxes\nsplit: {val: 0.0}\nnames: [put, pick]\n"
    )
    a, _ = load_dataset(tmp_path).annotations
    assert np.flatnonzero(a.looked_at).tolist() == [2, 3, 4, 5]
    assert a.labels[0].tolist() == [False, True]


def test_videos_without_annotations_are_reported(tmp_path):
    dataset = load_dataset(make(tmp_path, annotated=["a"]))
    assert list(dataset.annotations.videos) == ["a"]
    assert "1 videos without annotations left out (first: b)" in dataset.findings.lines()[0]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("spilt: {}\n", "unknown key 'spilt'.*split"),
        ("split: {blok_seconds: 3}\n", "block_seconds"),
        ("names: [pick]\naction: 3\n", "action"),
        ("names: [pick, pick]\n", "more than once"),
        ("names: [pik]\n", "unknown label 'pick'"),
        (
            "reverses: {pick: putt}\n",
            "reverses: expected class names of the data set, found 'putt' .did you mean put",
        ),
        ("reverses: {pick: put, put: put}\n", "paired with"),
        (
            "flip_labels: {left: put}\n",
            "flip_labels: expected class names of the data set, found 'left'",
        ),
        ("views: {x: [a, c]}\n", "views: x: no video 'c'"),
        ("views: {x: [a, b], y: [a]}\n", "is in 'x' and 'y'"),
        ("looked_at: {c: [[0, 1]]}\n", "looked_at: no video 'c'"),
        ("looked_at: {a: [[0, 99]]}\n", "looked_at: a: expected 0 <= first"),
        ("first_frame: 1\n", "means nothing for format 'cvat'"),
        ("videos: nowhere\n", "found nothing"),
        ("annotations: nowhere\n", "nowhere"),
        ("split: {block_seconds: 9}\nviews: {x: [a, b]}\n", "side 'val' has no"),
    ],
)
def test_wrong_files_give_one_line(tmp_path, yaml, message):
    path = make(tmp_path, yaml)
    with pytest.raises(UserError, match=message) as error:
        load_dataset(path)
    assert "\n" not in str(error.value)


def test_every_option_of_a_format_is_a_key_of_the_file():
    keys = {field.name for field in dataclasses.fields(DatasetConfig)}
    assert {option for kind in FORMATS.values() for option in kind.options} <= keys
    for kind in FORMATS.values():
        assert callable(kind.load_reader())


def test_unknown_format_and_missing_file(tmp_path):
    (tmp_path / "dataset.yaml").write_text("format: cvatt\n")
    with pytest.raises(UserError, match="did you mean cvat"):
        load_dataset(tmp_path)
    with pytest.raises(UserError, match=r"none\.yaml"):
        load_dataset(tmp_path / "none.yaml")


def test_video_names_are_paths_and_unique(tmp_path):
    for file in ("A/x.mp4", "A/y.avi", "z.mkv", "B/frames/00001.jpg", "readme.txt"):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(find_video_paths(tmp_path)) == ["A/x", "A/y", "B/frames", "z"]
    assert list(find_video_paths(tmp_path / "z.mkv")) == ["z"]
    (tmp_path / "A" / "y.mp4").touch()
    with pytest.raises(UserError, match="two videos are called 'A/y'"):
        find_video_paths(tmp_path)


def test_ranges_round_trip():
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 50):
        mask = rng.random(length) < 0.5
        np.testing.assert_array_equal(ranges_to_mask(mask_to_ranges(mask), length), mask)
    with pytest.raises(ValueError, match="found \\[3, 2\\]"):
        ranges_to_mask([[3, 2]], 9)


@pytest.mark.skipif(SHARED is None, reason="the developers' real data is not here")
def test_real_videos_and_boxes(tmp_path):
    path = tmp_path / "dataset.yaml"
    split = "split: {method: videos, val: 0.4}"
    path.write_text(
        f"path: {SHARED / 'ucf24_mini'}\nformat: ucf24\nannotations: pyannot.pkl\n{split}\n"
    )
    dataset = load_dataset(path, index_dir=tmp_path / "index")
    assert len(dataset.annotations.videos) == 5 and len(dataset.names) == 24
    for video in dataset.annotations:
        assert video.size == (256, 340)
        assert video.boxes[:, [1, 3]].max() <= 256 and video.boxes[:, [0, 2]].max() <= 340
    counts = {name.split("_")[1]: len(v.boxes) for name, v in dataset.annotations.videos.items()}
    assert counts["Fencing"] == 2 * 174 and counts["Biking"] == 151 and counts["CliffDiving"] == 55
    assert len(dataset.side("train").videos) == 3


def test_thousands_of_looked_at_stretches_are_read_in_linear_time(tmp_path):
    def calls(count):
        ranges = {"a": [[2 * n, 2 * n] for n in range(count)]}
        path = tmp_path / f"{count}.yaml"
        path.write_text(json.dumps({"format": "cvat", "looked_at": ranges}))
        profile = cProfile.Profile()
        config = profile.runcall(read_dataset_file, path)
        assert config.looked_at == ranges
        return sum(entry.callcount for entry in profile.getstats())

    calls(1)  # imports
    few, many = calls(200), calls(2000)
    assert many < 12 * few


@pytest.mark.parametrize(
    "ranges",
    ["[1, 2]", "{a: 3}", "{a: [1, 2]}", "{a: [[1, 2, 3]]}", "{a: [[1, x]]}", "{a: [[.5, 1]]}"],
)
def test_stretches_that_are_none_are_refused(tmp_path, ranges):
    path = tmp_path / "dataset.yaml"
    path.write_text(f"format: cvat\nlooked_at: {ranges}\n")
    with pytest.raises(UserError, match="looked_at"):
        read_dataset_file(path)
