import numpy as np
import pytest
from scipy.io import savemat

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.jhmdb21 import (
    JHMDB21_NAMES,
    mask_boxes,
    read_jhmdb21,
    read_jhmdb21_split,
)
from stadet.datasets.splits.lists import read_video_list
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

VIDEOS = {"wave/v1": VideoInfo("wave/v1", (240, 320), 30.0, 5)}


def write(root, masks, name="wave/v1"):
    folder = root / "puppet_mask" / name
    folder.mkdir(parents=True)
    savemat(folder / "puppet_mask.mat", {"part_mask": masks})
    return root / "puppet_mask"


def masks(frames=4):
    out = np.zeros((120, 160, frames), np.uint8)
    out[10:50, 20:60, 0] = 1
    out[0, 0, 1] = out[119, 159, 1] = 7  # two specks in the corners
    return out


def test_extent_of_masks_is_that_of_their_pixels():
    rng = np.random.default_rng(0)
    random = rng.random((9, 11, 40)) < 0.04
    boxes, frames = mask_boxes(random)
    expected = [f for f in range(40) if random[:, :, f].any()]
    assert frames.tolist() == expected
    for box, frame in zip(boxes, frames, strict=True):
        ys, xs = np.nonzero(random[:, :, frame])
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    boxes, frames = mask_boxes(np.zeros((5, 5, 3)))
    assert boxes.shape == (0, 4) and frames.shape == (0,)


def test_masks_become_boxes_in_the_footages_pixels(tmp_path):
    video = read_jhmdb21(write(tmp_path, masks()), videos=VIDEOS).videos["wave/v1"]
    assert video.looked_at.tolist() == [True] * 4 + [False]
    assert video.frames.tolist() == [0, 1]
    assert video.boxes.tolist() == [[40.0, 20.0, 120.0, 100.0], [0.0, 0.0, 320.0, 240.0]]
    assert video.labels[:, JHMDB21_NAMES.index("wave")].all() and video.labels.sum() == 2
    assert len(video[3]) == 0 and video[4] is None
    assert len(JHMDB21_NAMES) == 21 and list(JHMDB21_NAMES) == sorted(JHMDB21_NAMES)


def test_a_video_without_footage_is_counted(tmp_path):
    write(tmp_path, masks())
    findings = Findings()
    read_jhmdb21(write(tmp_path, masks(), "run/v9"), videos=VIDEOS, findings=findings)
    assert "1 annotated videos without footage left out (first: v9)" in findings.lines()[0]


def test_bad_folders_and_files(tmp_path):
    with pytest.raises(UserError, match=r"expected <class>/<video>/puppet_mask.mat, found none"):
        read_jhmdb21(tmp_path, videos=VIDEOS)
    root = write(tmp_path, masks(frames=6))
    with pytest.raises(UserError, match="masks of at most 5 frames, found 6"):
        read_jhmdb21(root, videos=VIDEOS)
    with pytest.raises(UserError, match="unknown label 'wave'"):
        read_jhmdb21(write(tmp_path / "b", masks()), videos=VIDEOS, names=["run", "walk"])
    savemat(root / "wave" / "v1" / "puppet_mask.mat", {"other": np.zeros(3)})
    with pytest.raises(UserError, match=r"expected part_mask .* found other"):
        read_jhmdb21(root, videos=VIDEOS)
    (root / "wave" / "v1" / "puppet_mask.mat").write_bytes(b"no matlab")
    with pytest.raises(UserError, match="expected a MATLAB file"):
        read_jhmdb21(root, videos=VIDEOS)


def test_published_split_files(tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    (folder / "wave_test_split1.txt").write_text("v1.avi 1\nv2.avi 2\nv3.avi 0\n")
    (folder / "run_test_split1.txt").write_text("r1.avi 2\n")
    assert read_jhmdb21_split(folder, "train", 1) == ["wave/v1"]
    assert read_jhmdb21_split(folder, "test", 1) == ["run/r1", "wave/v2"]
    annotations = read_jhmdb21(write(tmp_path, masks()), videos=VIDEOS)
    assert list(read_video_list("splits:train1", annotations, tmp_path)) == ["wave/v1"]
    with pytest.raises(UserError, match=r"expected files <class>_test_split2.txt, found none"):
        read_jhmdb21_split(folder, "train", 2)
    (folder / "wave_test_split1.txt").write_text("v1.avi\n")
    with pytest.raises(UserError, match=r"line 1: expected a video and 0, 1 or 2"):
        read_jhmdb21_split(folder, "train", 1)
