"""UCF101-24: both wrappings, the uint8 trap, 1-based boxes, scaling, MATLAB, and the real file."""

import pickle

import numpy as np
import pytest
from scipy.io import savemat

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.ucf24 import UCF24_NAMES, read_ucf24
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from tests.shared_data import SHARED

NAME = "Biking/v_Biking_g01_c01"
BOXES = np.array([[1, 1, 100, 50], [200, 101, 120, 60]], np.uint8)  # 200 + 120 wraps at 256
INFO = {"v_Biking_g01_c01": VideoInfo("v_Biking_g01_c01", (256, 340), 29.97, 300)}


def entry(sf=3, ef=5, boxes=BOXES, label=2):
    tube = {"label": label, "sf": sf, "ef": ef, "boxes": boxes}
    return {"numf": np.uint8(44), "label": label, "annotations": [tube]}


def dump(tmp_path, content):
    path = tmp_path / "pyannot.pkl"
    path.write_bytes(pickle.dumps(content, 2))
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_reads_both_wrappings(tmp_path, wrapped):
    db = {NAME: entry()}
    content = {"db": db, "trainvideos": [], "classes": list(UCF24_NAMES)} if wrapped else db
    annotations = read_ucf24(dump(tmp_path, content))
    assert annotations.names == UCF24_NAMES
    video = annotations.videos[NAME]
    assert video.boxes.tolist() == [[0, 0, 100, 50], [199, 100, 319, 160]]
    assert video.frames.tolist() == [3, 4] and video.num_frames == 44 and video.looked_at.all()
    assert video.labels.argmax(axis=1).tolist() == [2, 2]


def test_boxes_are_scaled_to_the_video_and_its_length_counts(tmp_path):
    path = dump(tmp_path, {NAME: entry(298, 300), "Diving/none": entry()})
    findings = Findings()
    annotations = read_ucf24(path, videos=INFO, findings=findings)
    video = annotations.videos["v_Biking_g01_c01"]
    assert video.num_frames == 300 and video.size == (256, 340)
    expected = np.array([199 * 340 / 320, 100 * 256 / 240, 319 * 340 / 320, 160 * 256 / 240])
    np.testing.assert_allclose(video.boxes[1], expected)
    assert "1 annotated videos without footage left out (first: Diving/none)" in str(
        findings.lines()
    )
    same = read_ucf24(path, videos=INFO, annotation_size=(256, 340))
    assert same.videos["v_Biking_g01_c01"].boxes[1].tolist() == [199, 100, 319, 160]


def test_reads_matlab(tmp_path):
    fields = [(n, object) for n in ("ef", "sf", "class", "boxes")]
    tubes = np.zeros(1, dtype=fields)
    tubes[0] = (5, 4, 3, BOXES)  # the frames 3 and 4, 0-based; class 3 is Biking
    annot = np.zeros((1, 2), dtype=[(n, object) for n in ("num_imgs", "name", "tubes")])
    annot[0, 0] = (44, NAME, tubes)
    two = np.concatenate([tubes, tubes])
    annot[0, 1] = (44, "Diving/v_x", two)
    savemat(tmp_path / "finalAnnots.mat", {"annot": annot})
    annotations = read_ucf24(tmp_path / "finalAnnots.mat")
    ours = annotations.videos[NAME]
    theirs = read_ucf24(dump(tmp_path, {NAME: entry()})).videos[NAME]
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert len(annotations.videos["Diving/v_x"].boxes) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({NAME: entry(ef=6)}, "expected 3 boxes for the tube of frames 3..5, found 2"),
        ({NAME: entry(299, 301)}, "frame 300: the video has 300 frames"),
        ({NAME: entry(label=24)}, "expected a label of 0..23, found 24"),
        ({NAME: {"numf": 3}}, f"{NAME}: expected numf and annotations"),
        ([1], "expected a dict of videos, found a list"),
    ],
)
def test_broken_files_give_one_line(tmp_path, content, message):
    path = dump(tmp_path, content)
    with pytest.raises(UserError, match=message) as error:
        read_ucf24(path, videos=INFO)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_unknown_names_and_broken_matlab(tmp_path):
    path = dump(tmp_path, {NAME: entry()})
    with pytest.raises(UserError, match="unknown label 'Biking'"):
        read_ucf24(path, names=["Diving", "Bike"])
    (tmp_path / "a.mat").write_text("not a MATLAB file, but long enough to hold a header" * 9)
    with pytest.raises(UserError, match="MATLAB"):
        read_ucf24(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"other": 1})
    with pytest.raises(UserError, match="'annot'"):
        read_ucf24(tmp_path / "b.mat")


@pytest.mark.skipif(SHARED is None, reason="the developers' real data is not here")
def test_real_pickle():
    path = SHARED / "ucf24_mini" / "pyannot.pkl"
    with path.open("rb") as stream:
        raw = pickle.load(stream, encoding="latin1")["db"]
    findings = Findings()
    annotations = read_ucf24(path, findings=findings)
    assert set(annotations.videos) == set(raw)
    for name, video in annotations.videos.items():
        tubes = raw[name]["annotations"]
        assert len(video.boxes) == sum(len(tube["boxes"]) for tube in tubes)
        expected = sorted(
            (f, *box)
            for t in tubes
            for f, box in zip(
                range(t["sf"], t["ef"]),
                (t["boxes"].astype(int) - [1, 1, 0, 0]).tolist(),
                strict=True,
            )
        )
        width_height = video.boxes[:, 2:] - video.boxes[:, :2]
        found = sorted(
            zip(video.frames.tolist(), *video.boxes[:, :2].T, *width_height.T, strict=True)
        )
        np.testing.assert_allclose(found, expected, atol=1.0)  # clipped by a pixel at most
        assert video.labels.sum() == len(video.boxes)
        assert video.labels.any(axis=0).argmax() == UCF24_NAMES.index(name.split("/")[0])
