import pickle

import numpy as np
import pytest

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.act_pickle import read_act_pickle, read_act_split
from stadet.datasets.splits.lists import read_video_list
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings


def tube(start, stop, x=10.0):
    frames = np.arange(start, stop + 1)
    boxes = np.stack([x + frames, np.full(len(frames), 5.0)], axis=1)
    return np.concatenate([frames[:, None], boxes, boxes + 40], axis=1).astype(np.float32)


def content(**changes):
    base = {
        "labels": ["run", "walk"],
        "train_videos": [["walk/a"], ["run/b"]],
        "test_videos": [["run/b"], ["walk/a"]],
        "nframes": {"walk/a": 12, "run/b": 20},
        "resolution": {"walk/a": (240, 320), "run/b": (240, 320)},
        "gttubes": {"walk/a": {1: [tube(1, 12)]}, "run/b": {0: [tube(3, 9), tube(5, 20, 100)]}},
    }
    return {**base, **changes}


def write(path, value, protocol=2):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def test_boxes_frames_and_tracks(tmp_path):
    found = read_act_pickle(write(tmp_path / "GT.pkl", content()))
    assert found.names == ("run", "walk") and set(found.videos) == {"walk/a", "run/b"}
    b = found.videos["run/b"]
    assert (b.size, b.num_frames) == ((240, 320), 20) and b.looked_at.all()
    assert len(b.frames) == 7 + 16 and b.frames.min() == 2 and b.frames.max() == 19
    assert b[4].boxes.tolist() == [[15.0, 5.0, 55.0, 45.0], [105.0, 5.0, 145.0, 45.0]]
    assert b[4].track_ids.tolist() == [0, 1]
    assert b[0].boxes.shape == (0, 4)  # looked at, nothing there
    assert b.labels[:, 0].all() and not b.labels[:, 1].any()


def test_boxes_follow_the_footages_size_and_names_their_order(tmp_path):
    videos = {"a": VideoInfo("a", (480, 960), 30.0, 12)}
    findings = Findings()
    path = write(tmp_path / "GT.pkl", content())
    found = read_act_pickle(path, videos=videos, names=["walk", "run"], findings=findings)
    assert list(found.videos) == ["a"] and found.videos["a"].fps == 30.0
    assert found.videos["a"][0].boxes.tolist() == [[33.0, 10.0, 153.0, 90.0]]
    assert found.videos["a"].labels[:, 0].all()
    assert "1 annotated videos without footage left out (first: run/b)" in findings.lines()[0]


def test_a_python_2_pickle(tmp_path):
    """Protocol 0 as Python 2 wrote it: numpy.core names, strings as bytes in latin1."""
    text = pickle.dumps(content(), protocol=0)
    text = text.replace(b"numpy._core", b"numpy.core")
    (tmp_path / "old.pkl").write_bytes(text)
    assert len(read_act_pickle(tmp_path / "old.pkl").videos) == 2


def test_published_splits_as_lists_of_a_data_set_file(tmp_path):
    path = write(tmp_path / "GT.pkl", content())
    assert read_act_split(path, "train", 2) == ["run/b"]
    masks = read_video_list("GT.pkl:test1", read_act_pickle(path), tmp_path)
    assert list(masks) == ["run/b"] and masks["run/b"].all()
    with pytest.raises(UserError, match="expected split 3 of test_videos, found 2 splits"):
        read_video_list("GT.pkl:test3", read_act_pickle(path), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gttubes": {"walk/a": {1: [np.zeros((3, 4))]}}}, r"tubes \(n, 5\).*shape \(3, 4\)"),
        ({"gttubes": {"walk/a": {7: [tube(1, 2)]}}}, r"a class of 0\.\.1, found 7"),
        ({"gttubes": {"walk/a": [tube(1, 2)]}}, "a dict of class to tubes, found list"),
        ({"gttubes": {"walk/a": {1: [tube(1, 13)]}}}, r"frame 12: the video has 12 frames"),
        ({"gttubes": {"walk/a": {1: [tube(1, 2) + 0.5]}}}, "whole frame numbers"),
        ({"resolution": {}}, r"expected its nframes and its resolution"),
    ],
)
def test_what_is_no_such_tube(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_act_pickle(write(tmp_path / "GT.pkl", content(**changes)))


def test_another_cut_of_the_footage(tmp_path):
    videos = {"a": VideoInfo("a", (240, 320), 30.0, 10)}
    with pytest.raises(UserError, match="walk/a: expected 12 frames, found 10 in the footage"):
        read_act_pickle(write(tmp_path / "GT.pkl", content()), videos=videos)


def test_another_pickle(tmp_path):
    with pytest.raises(UserError, match=r"expected the keys labels, gttubes, .* found db"):
        read_act_pickle(write(tmp_path / "GT.pkl", {"db": {}}))
    with pytest.raises(UserError, match="expected a pickle"):
        (tmp_path / "cut.pkl").write_bytes(pickle.dumps(content())[:-40])
        read_act_pickle(tmp_path / "cut.pkl")
