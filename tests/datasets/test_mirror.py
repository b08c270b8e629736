import numpy as np
import pytest

from stadet.datasets.mirror import mirror_pairs
from stadet.detect.structures import AnnotationSet, VideoAnnotations

NAMES = ("fill", "empty", "stir")
REVERSES = {"fill": "empty", "empty": "fill"}
FRAMES = 40


def video(paths, *, looked_at=None, size=(200, 300)):
    """One track for each (label, (FRAMES, 2) centres), boxes of 20 pixels."""
    looked_at = np.ones(FRAMES, bool) if looked_at is None else looked_at
    frames = np.flatnonzero(looked_at)
    boxes = [np.hstack([path[frames] - 10, path[frames] + 10]) for _, path in paths]
    labels = np.zeros((len(frames) * len(paths), len(NAMES)), bool)
    labels[np.arange(len(labels)), np.repeat([label for label, _ in paths], len(frames))] = True
    return VideoAnnotations.build(
        "v",
        size,
        20.0,
        looked_at,
        np.tile(frames, len(paths)),
        np.concatenate(boxes),
        labels,
        np.repeat(np.arange(len(paths)), len(frames)),
    )


def line(dx, dy=0.0, x=150.0):
    return np.stack([x + np.linspace(0, dx, FRAMES), 50 + np.linspace(0, dy, FRAMES)], axis=1)


def circle(turns):
    angle = 0.3 + 2 * np.pi * np.linspace(0, turns, FRAMES)
    return np.stack([150 + 15 * np.cos(angle), 100 + 15 * np.sin(angle)], axis=1)


def pairs(paths, flip_labels=None, reverses=REVERSES, **kwargs):
    truth = AnnotationSet(NAMES, {"v": video(paths, **kwargs)})
    return mirror_pairs(truth, reverses, flip_labels or {})


def mirrored(paths):
    return [(label, np.array([300.0, 0.0]) + path * [-1.0, 1.0]) for label, path in paths]


@pytest.mark.parametrize(
    "there, back, kind",
    [(line(80, 30), line(-80, 20), "direction"), (circle(1.0), circle(-1.0), "turn")],
)
def test_actions_that_differ_by_a_side_are_found_and_change_places_in_a_mirror(there, back, kind):
    paths = [(0, there), (1, back)] * 3
    (found,) = pairs(paths)
    assert (found.one, found.other, found.kind) == ("fill", "empty", kind)
    assert found.tracks == ((3, 3), (3, 3))
    (found,) = pairs(mirrored(paths))
    assert (found.one, found.other, found.kind) == ("empty", "fill", kind)
    assert "'empty'" in str(found) and "3 of 3" in str(found)


def test_what_a_mirror_does_not_confuse_is_left_alone():
    up_and_down = [(0, line(0, 80)), (1, line(0, -80))] * 3
    both_sides = [(0, line(80)), (0, line(-80)), (1, line(80)), (1, line(-80))] * 2
    same_side = [(0, line(80)), (1, line(70))] * 3
    still = [(0, line(2)), (1, line(-2))] * 3
    for paths in (up_and_down, both_sides, same_side, still):
        assert pairs(paths) == []
    assert pairs([(0, line(80)), (2, line(-80))] * 3) == []  # not each other's reversal


def test_tracks_too_short_to_show_a_side_say_nothing_against_it():
    """As of annotated runs of a few frames: half of an action's tracks are not seen to turn."""
    turning, still = [(0, circle(1.0)), (1, circle(-1.0))] * 4, [(0, line(2)), (1, line(-2))] * 5
    (found,) = pairs(turning + still)
    assert (found.kind, found.tracks) == ("turn", ((4, 4), (4, 4)))
    assert pairs(turning + still * 3) == []  # too few to tell
    one_more = [(0, circle(-1.0)), (1, circle(1.0))]
    assert pairs(turning + one_more + still)[0].tracks == ((4, 5), (4, 5))
    assert pairs(turning + one_more * 2 + still) == []


def test_one_track_is_no_evidence_and_exchanged_labels_are_no_conflict():
    sides = [(0, line(80)), (1, line(-80))]
    assert pairs(sides) == []
    assert len(pairs(sides * 2)) == 1
    assert pairs(sides * 2, flip_labels=REVERSES) == []
    assert pairs(sides * 2, reverses={}) == []


def test_short_runs_of_looked_at_frames_are_one_track():
    looked_at = np.arange(FRAMES) % 8 < 2
    (found,) = pairs([(0, line(80)), (1, line(-80))] * 2, looked_at=looked_at)
    assert found.tracks == ((2, 2), (2, 2))
