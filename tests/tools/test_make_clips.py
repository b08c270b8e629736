"""`stad make-clips`: what it writes is read back as clips, as boxes and as YOWO's layout."""

import cv2
import numpy as np
import pytest

from stadet.datasets.dataset import load_dataset
from stadet.datasets.footage.video import open_video
from stadet.datasets.labelled.folders import read_class_folders
from stadet.recurrent_yolo.sequences import SequenceConfig
from stadet.tools.cli import main
from stadet.tools.data.clips import plan_clips

FRAMES, SIZE = 60, (48, 64)  # at 10 frames a second
TRACK = '<track id="{}" label="{}">{}</track>'
BOX = '<box frame="{}" outside="{}" keyframe="1" xtl="{}" ytl="8" xbr="{}" ybr="32"/>'


def track(number, label, first, last, x):
    boxes = [BOX.format(frame, 0, x, x + 20) for frame in (first, last)]
    return TRACK.format(number, label, "".join([*boxes, BOX.format(last + 1, 1, x, x + 20)]))


@pytest.fixture
def data(tmp_path):
    """Two videos whose frames show their number as their grey; `pick` and `put` overlap."""
    for name in ("front", "side"):
        folder = tmp_path / "long" / "videos" / name
        folder.mkdir(parents=True)
        for frame in range(FRAMES):
            image = np.full((*SIZE, 3), 4 * frame, np.uint8)
            cv2.imwrite(str(folder / f"{frame + 1:05d}.png"), image)
    (tmp_path / "long" / "annotations").mkdir()
    first = (
        track(0, "pick", 10, 19, 4)
        + track(1, "put/back", 15, 24, 30)
        + track(2, "pick", 50, 59, 10)
    )
    for name, tracks in (("front", first), ("side", track(0, "pick", 5, 8, 0))):
        (tmp_path / "long" / "annotations" / f"{name}.xml").write_text(
            f"<annotations>{tracks}</annotations>"
        )
    (tmp_path / "long" / "dataset.yaml").write_text(
        "format: cvat\nnames: [pick, put/back]\nreverses: {pick: put/back}\nframe_folder_fps: 10\n"
        "split: {method: lists, lists: {train: [front], val: [side]}}\n"
    )
    return tmp_path / "long" / "dataset.yaml"


def stad(data, out, *more):
    lengths = ["--pad", "0.2", "--merge", "0.2", "--shortest", "0.4", "--longest", "3"]
    return main(["make-clips", "--data", str(data), "--out", str(out), *lengths, *map(str, more)])


@pytest.mark.parametrize("layout", ["folders", "yowo"])
def test_pieces_of_padding_are_no_clips(data, tmp_path, capsys, layout):
    out = tmp_path / "clips"
    assert stad(data, out, "--layout", layout, "--pad", 2, "--longest", 0.5, "--merge", 0) == 0
    said = capsys.readouterr().out
    assert "clips left out that lie in the padding of their action alone" in said
    load_dataset(out / "dataset.yaml")  # YOWO's reader wants the class in every clip
    dataset = load_dataset(data)
    clips, empty = plan_clips(dataset, SequenceConfig(2, 0, 0.4, 0.5, overlap=0.0))
    assert clips and f"{empty} clips left out" in said and empty > 0
    for clip in clips:
        video = dataset.annotations.videos[clip.video]
        shown = (video.frames >= clip.start) & (video.frames < clip.stop)
        assert video.labels[shown, dataset.names.index(clip.label)].any()


def test_folders_by_class_for_classifiers_and_detectors(data, tmp_path, capsys):
    out = tmp_path / "clips"
    assert stad(data, out) == 0
    assert "4 clips of 2 classes" in capsys.readouterr().out
    labelled = read_class_folders(out)
    assert labelled.names == ("pick", "put-back")
    assert {(item.name, item.side) for item in labelled.items} == {
        ("train/pick/front_000008", "train"),
        ("train/pick/front_000048", "train"),
        ("train/put-back/front_000013", "train"),
        ("val/pick/side_000003", "val"),
    }
    clip = open_video(out / "train" / "pick" / "front_000008.mp4")
    assert len(clip) == 14 and clip.fps == 10 and clip.size == SIZE
    greys = [image.mean() for _, image in clip.frames()]
    np.testing.assert_allclose(greys, 4 * np.arange(8, 22), atol=3)

    found, long = load_dataset(out), load_dataset(data)
    assert found.names == ("pick", "put/back") and found.reverses["put/back"] == "pick"
    assert set(found.side("val").videos) == {"val/pick/side_000003"}
    for name, video in found.annotations.videos.items():
        source, start = name.rsplit("/", 1)[1].split("_")
        truth = long.annotations.videos[source]
        for frame in range(video.num_frames):
            expected, here = truth[int(start) + frame], video[frame]
            order = [np.lexsort(part.boxes.T) for part in (expected, here)]
            np.testing.assert_allclose(here.boxes[order[1]], expected.boxes[order[0]], atol=1e-3)
            assert (here.labels[order[1]] == expected.labels[order[0]]).all()


def test_yowos_layout(data, tmp_path):
    out = tmp_path / "yowo"
    assert stad(data, out, "--layout", "yowo") == 0
    images = sorted((out / "rgb-images" / "pick" / "front_000008").iterdir())
    assert [path.name for path in images] == [f"{n:05d}.jpg" for n in range(1, 15)]
    assert cv2.imread(str(images[0])).shape == (240, 320, 3)
    label = out / "labels" / "pick" / "front_000008"
    assert (label / "00001.txt").read_text() == ""  # footage before the action
    assert (label / "00003.txt").read_text() == "1 20.00 40.00 120.00 160.00\n"
    assert len((label / "00008.txt").read_text().splitlines()) == 2
    assert "pick/front_000008/00003.txt" in (out / "trainlist.txt").read_text().splitlines()
    assert (out / "testlist_video.txt").read_text() == "pick/side_000003\n"
    found = load_dataset(out)
    video = found.annotations.videos["pick/front_000008"]
    assert video.looked_at.all() and video[2].boxes.tolist() == [[20.0, 40.0, 120.0, 160.0]]
    assert set(found.side("train").videos) == {
        "pick/front_000008",
        "pick/front_000048",
        "put-back/front_000013",
    }


def test_one_side_some_classes_and_a_size(data, tmp_path):
    out = tmp_path / "some"
    assert stad(data, out, "--side", "train", "--classes", "put/back", "--size", 24, 32) == 0
    found = load_dataset(out)
    (video,) = found.annotations
    assert video.size == (24, 32) and video.name == "train/put-back/front_000013"
    assert [15.0, 4.0, 25.0, 16.0] in video.boxes.tolist()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--classes", "pik"], "no class 'pik' (did you mean pick?)"),
        (
            ["--classes", "put/back", "--side", "val"],
            "frames with an action to cut out, found none",
        ),
        (["--size", "0", "32"], "a height and a width of at least 1"),
        (["--longest", "0.1"], "expected longest >= shortest"),
    ],
)
def test_mistakes(data, tmp_path, capsys, more, message):
    assert stad(data, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_older_folder_is_not_overwritten(data, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert stad(data, tmp_path / "out") == 2
    assert "expected a new or an empty folder" in capsys.readouterr().err
