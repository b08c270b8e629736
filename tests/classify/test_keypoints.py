from types import SimpleNamespace

import numpy as np
import pytest

from stadet.classify.keypoints import (
    NUM_KEYPOINTS,
    PARTS,
    extract_keypoints,
    flatten_landmarks,
    open_holistic,
    part_slice,
)
from stadet.datasets.labelled.keypoints import NUM_KEYPOINTS as STORED
from stadet.engine.errors import UserError


def landmarks(count, start):
    points = [SimpleNamespace(x=start + i, y=-i, z=0.5, visibility=0.25) for i in range(count)]
    return SimpleNamespace(landmark=points)


def result(**parts):
    """What Holistic's `process` gives; a part that was not found is None."""
    return SimpleNamespace(**{f"{name}_landmarks": parts.get(name) for name in PARTS})


def test_1662_values_in_the_documented_order():
    assert NUM_KEYPOINTS == STORED == 1662
    slices = [part_slice(part) for part in PARTS]
    assert slices == [slice(0, 132), slice(132, 1536), slice(1536, 1599), slice(1599, 1662)]


def test_every_part_stands_in_its_place():
    whole = {p: landmarks(n, 1000 * i) for i, (p, (n, _)) in enumerate(PARTS.items())}
    values, found = flatten_landmarks(result(**whole))
    assert found.all() and values.shape == (1662,)
    assert values[:8].tolist() == [0, 0, 0.5, 0.25, 1, -1, 0.5, 0.25]
    assert values[132:138].tolist() == [1000, 0, 0.5, 1001, -1, 0.5]
    assert values[1536] == 2000 and values[1599] == 3000 and values[1661] == 0.5


def test_missing_hands_are_zeros_with_a_mask():
    values, found = flatten_landmarks(result(pose=landmarks(33, 1), right_hand=landmarks(21, 7)))
    assert found.tolist() == [True, False, False, True]
    assert (values[132:1599] == 0).all() and values[1599] == 7


def test_a_refined_face_gives_its_first_468_points():
    values, _ = flatten_landmarks(result(face=landmarks(478, 0)))
    assert values[132 + 467 * 3] == 467 and (values[1536:] == 0).all()


def test_extraction_over_a_clip():
    class Fake:
        def __init__(self):
            self.seen = []

        def process(self, frame):
            self.seen.append(int(frame[0, 0, 0]))
            return result(pose=landmarks(33, self.seen[-1]))

    frames = [np.full((4, 5, 3), i, np.uint8) for i in range(3)]
    fake = Fake()
    clip = extract_keypoints(frames, fake)
    assert fake.seen == [0, 1, 2]  # in order: Holistic tracks
    assert clip.values.shape == (3, 1662) and clip.found.shape == (3, 4)
    assert clip.values[:, 0].tolist() == [0, 1, 2]
    empty = extract_keypoints([], fake)
    assert empty.values.shape == (0, 1662) and empty.found.shape == (0, 4)


def test_without_mediapipe_one_line_says_what_to_do(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.holistic", None)
    with pytest.raises(
        UserError, match=r"not installed .*pip install .*X_\*_keypoints.npy"
    ) as caught:
        open_holistic()
    assert "\n" not in str(caught.value)
