"""Drafts from detections: tracks, thinning, doubts, and the way through a CVAT file."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.drafts import DraftOptions, draft_annotations
from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.cvat import read_cvat, write_cvat
from stadet.detect.detections.detection_set import VideoDetections
from stadet.engine.errors import UserError

NAMES = ("wipe", "cut")
INFO = VideoInfo("v", (240, 320), 10.0, 120, None)
PLAIN = DraftOptions(smooth=0, tolerance=2.0)


def detections(rows, processed=((0, 119),)):
    """rows: (frame, box, scores of the classes)."""
    rows = sorted(rows, key=lambda row: row[0])
    return VideoDetections(
        "v",
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4),
        np.full(len(rows), np.nan),
        np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, len(NAMES)),
        np.array(processed),
    )


def walk(frames, x=20.0, y=30.0, scores=(0.9, 0.0), step=3.0):
    return [(f, [x + step * k, y, x + step * k + 40, y + 60], scores) for k, f in enumerate(frames)]


def test_an_actor_is_one_track_an_action():
    rows = walk(range(10, 40)) + walk(range(40, 60), x=110, scores=(0.0, 0.8))
    rows += walk(range(20, 30), y=150, scores=(0.5, 0.0))  # another actor
    rows += walk([80, 81])  # flicker
    draft = draft_annotations(detections(rows), INFO, PLAIN)
    video = draft.annotations
    found = [
        (t, int(own.min()), int(own.max()), NAMES[video.labels[video.track_ids == t][0].argmax()])
        for t in np.unique(video.track_ids)
        for own in [video.frames[video.track_ids == t]]
    ]
    assert found == [(0, 10, 39, "wipe"), (1, 20, 29, "wipe"), (2, 40, 59, "cut")]
    assert video.looked_at.all()
    assert draft.keyframes == 6 and draft.error <= 0.01  # straight walks: two keyframes each


def test_boxes_of_several_classes_at_one_place_are_one_track_unless_wanted():
    rows = walk(range(10, 40), scores=(0.9, 0.0)) + walk(range(10, 40), x=22, scores=(0.0, 0.7))
    one = draft_annotations(detections(rows), INFO, PLAIN)
    assert np.unique(one.annotations.track_ids).tolist() == [0]
    both = draft_annotations(detections(rows), INFO, DraftOptions(smooth=0, several_classes=True))
    assert np.unique(both.annotations.track_ids).tolist() == [0, 1]
    assert sorted(both.annotations.labels.sum(axis=0).tolist()) == [30, 30]


def test_doubts_are_told_with_their_reason():
    rows = [row for row in walk(range(10, 60)) if row[0] not in (20, 21)]
    rows = [(f, b, (0.3, 0.0) if 30 <= f < 35 else s) for f, b, s in rows]
    rows = [(f, b, (0.9, 0.7) if f >= 55 else s) for f, b, s in rows]
    draft = draft_annotations(detections(rows), INFO, PLAIN)
    spans = [(s.first, s.last, s.reason) for s in draft.spans]
    assert spans == [
        (20, 21, "no detection"),
        (30, 34, "weak"),
        (55, 59, "another class"),
    ]
    doubtful = draft.annotations.frames[draft.uncertain].tolist()
    assert doubtful == [20, 21, *range(30, 35), *range(55, 60)]
    assert (draft.scores[np.isin(draft.annotations.frames, [20, 21])] == 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([0.5, 2.0, 5.0]))
def test_through_a_cvat_file_and_back_exactly(seed, tolerance, tmp_path_factory):
    """Our reader gives the draft itself; the keyframes alone restore every box within the
    tolerance, by an interpolation written here."""
    rng = np.random.default_rng(seed)
    rows = []
    for actor in range(3):
        first, half = int(rng.integers(0, 60)), np.array([15.0, 25.0])
        centre = rng.uniform(40, 80, 2) + np.array([70 * actor, 20])
        for frame in range(first, first + int(rng.integers(10, 50))):
            centre = centre + rng.normal(0, 2.5, 2)
            if rng.uniform() < 0.9:
                box = np.concatenate([centre - half, centre + half])
                rows.append((frame, box + rng.normal(0, 1, 4), (rng.uniform(0.2, 1), 0.1)))
    found = detections(rows)
    options = DraftOptions(smooth=0, tolerance=tolerance, threshold=0.3)
    draft = draft_annotations(found, INFO, options)
    exact = draft_annotations(found, INFO, DraftOptions(smooth=0, tolerance=0.0, threshold=0.3))
    np.testing.assert_array_equal(draft.annotations.frames, exact.annotations.frames)
    assert draft.error <= tolerance + 1e-9
    off = np.abs(draft.annotations.boxes - exact.annotations.boxes).max(initial=0)
    assert off <= tolerance + 1e-9
    path = tmp_path_factory.mktemp("cvat") / "v.xml"
    assert write_cvat(
        path, draft.annotations, NAMES, keyframe_tolerance=1e-3, uncertain=draft.uncertain
    )
    again = read_cvat(path, videos={"v": INFO}, names=NAMES).videos["v"]
    for column in ("looked_at", "frames", "labels", "track_ids"):
        np.testing.assert_array_equal(getattr(again, column), getattr(draft.annotations, column))
    np.testing.assert_allclose(again.boxes, draft.annotations.boxes, atol=1e-4)
    keys, count, marks = from_keyframes(path)
    # one keyframe more ends each track that does not reach the last frame; none is lost
    assert count == draft.keyframes
    for frame, box, track, doubt in zip(
        exact.annotations.frames,
        exact.annotations.boxes,
        exact.annotations.track_ids,
        draft.uncertain,
        strict=True,
    ):
        assert np.abs(keys[track][frame] - box).max() <= tolerance + 2e-3
        assert marks[track][frame] == doubt


def from_keyframes(path):
    """{track: {frame: box}} by linear interpolation between keyframes alone, how many these are,
    and {track: {frame: uncertain}}, which CVAT keeps from keyframe to keyframe."""
    boxes, marks, count = {}, {}, 0
    for track in ElementTree.parse(path).getroot().findall("track"):
        number = int(track.get("id"))
        key = [box for box in track.findall("box") if box.get("keyframe") == "1"]
        boxes[number], marks[number] = {}, {}
        for one, two in zip(key, [*key[1:], None], strict=True):
            if one.get("outside") == "1":
                continue
            count += 1
            a, first = (
                np.array([float(one.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]),
                int(one.get("frame")),
            )
            b, last = a, first + 1
            if two is not None:
                last = int(two.get("frame"))
                if two.get("outside") == "0":
                    b = np.array([float(two.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")])
            for frame in range(first, last):
                boxes[number][frame] = a + (b - a) * (frame - first) / (last - first)
                marks[number][frame] = one.find("attribute").text == "true"
    return boxes, count, marks


def test_nothing_detected_is_an_empty_draft():
    draft = draft_annotations(detections([]), INFO, PLAIN)
    assert len(draft.annotations.boxes) == 0 and draft.annotations.looked_at.all()
    part = draft_annotations(detections([], processed=[(5, 9)]), INFO, PLAIN)
    assert np.flatnonzero(part.annotations.looked_at).tolist() == [5, 6, 7, 8, 9]


def test_detections_of_another_cut_and_options_out_of_range_are_told():
    with pytest.raises(UserError, match=r"frame 120, the video has 120 .*another cut"):
        draft_annotations(detections(walk([119, 120])), INFO)
    with pytest.raises(UserError, match="--tolerance: expected at least 0"):
        DraftOptions(tolerance=-1)


def test_smoothing_takes_jitter_and_keeps_turning_points():
    """A hand that goes and comes back: a parabola fits its turn, a mean over time does not."""
    frames = np.arange(60)
    x = 100 + 0.2 * (frames - 30) ** 2
    noise = np.random.default_rng(0).normal(0, 1.5, (60, 4))
    clean = np.column_stack([x, 0 * x + 50, x + 40, 0 * x + 110])
    clean = clean[clean[:, 2] < 320]
    rows = [(int(f), b + n, (0.9, 0.0)) for f, b, n in zip(frames, clean, noise, strict=False)]
    wide = VideoInfo("v", (240, 640), 10.0, 120, None)
    errors = []
    for smooth in (0.0, 0.7):
        draft = draft_annotations(detections(rows), wide, DraftOptions(smooth=smooth, tolerance=0))
        at = draft.annotations.frames
        errors.append(np.abs(draft.annotations.boxes - clean[at]).mean())
    assert errors[1] < 0.75 * errors[0]
