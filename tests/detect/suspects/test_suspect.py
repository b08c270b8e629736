"""A clean annotation of known motion, detections that agree with it, and one fault at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.suspects.suspect import KINDS, NEEDS_DETECTIONS, find_suspects

NAMES = ("wipe", "cut", "phone")
FRAMES, SPAN, FPS = 400, 30, 15.0
SCORES = (0.9, 0.6, 0.4)  # what detections give each class: some classes are weaker


def columns():
    """(track, frame, box, class) of eight clean tracks, one after another."""
    rows = []
    for track in range(8):
        for k in range(SPAN):
            x = 20 + 3 * k + 10 * (track % 3)
            rows.append((track, 10 + 45 * track + k, [x, 40.0, x + 50, 100.0], track % 3))
    return rows


def truth(rows, looked_at=None):
    labels = np.zeros((len(rows), len(NAMES)), bool)
    labels[np.arange(len(rows)), [row[3] for row in rows]] = True
    looked_at = np.ones(FRAMES, bool) if looked_at is None else looked_at
    rows_at = np.array([row[1] for row in rows])
    video = VideoAnnotations.build(
        "v",
        (240, 320),
        FPS,
        looked_at,
        rows_at,
        [row[2] for row in rows],
        labels,
        [row[0] for row in rows],
    )
    return AnnotationSet(NAMES, {"v": video})


def agreeing(rows, processed=((0, FRAMES - 1),)):
    """Detections that say exactly `rows`."""
    scores = np.zeros((len(rows), len(NAMES)))
    scores[np.arange(len(rows)), [r[3] for r in rows]] = [SCORES[r[3]] for r in rows]
    order = np.argsort([row[1] for row in rows], kind="stable")
    video = VideoDetections(
        "v",
        np.array([row[1] for row in rows])[order],
        np.array([row[2] for row in rows], float)[order],
        np.full(len(rows), np.nan),
        scores[order],
        np.array(processed),
    )
    return DetectionSet(NAMES, 0.05, {"v": video})


def test_a_clean_annotation_has_no_suspects():
    assert find_suspects(truth(columns()), agreeing(columns())) == []


def wrong_label(rows):
    return [r if r[0] != 3 else (*r[:3], 1) for r in rows]


def forgotten(rows):
    return [r for r in rows if r[0] != 3]


def invented(rows):
    return rows + [(99, 370 + k, [200.0, 150, 250, 200], 1) for k in range(20)]


def late(rows):
    return [r for r in rows if r[0] != 3 or r[1] >= 10 + 45 * 3 + 12]


def long(rows):
    last = [r for r in rows if r[0] == 3][-1]
    return rows + [(3, last[1] + k, last[2], last[3]) for k in range(1, 11)]


def loose(rows):
    return [r if r[0] != 3 else (*r[:2], [r[2][0] - 25, 10, r[2][2] + 25, 130], r[3]) for r in rows]


def slipped(rows):
    first = 10 + 45 * 3
    return [
        r
        if not (r[0] == 3 and first + 10 <= r[1] < first + 15)
        else (*r[:2], [200, 150, 250, 210], r[3])
        for r in rows
    ]


def twice(rows):
    return rows + [(50, *r[1:2], [s + 1 for s in r[2]], r[3]) for r in rows if r[0] == 3]


START = 10 + 45 * 3
CASES = {
    "label": (wrong_label, 3, START, START + SPAN - 1),
    "missing": (forgotten, -1, START, START + SPAN - 1),
    "unsupported": (invented, 99, 370, 389),
    "late onset": (late, 3, START, START + 12),
    "long onset": (long, 3, START + SPAN - 1, START + SPAN + 9),
    "box": (loose, 3, START, START + SPAN - 1),
    "jump": (slipped, 3, START + 10, START + 14),
    "duplicate": (twice, 3, START, START + SPAN - 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_suspect_is_the_fault(name):
    plant, track, first, last = CASES[name]
    found = find_suspects(truth(plant(columns())), agreeing(columns()))
    kind = name.split()[-1]
    assert found[0].kind == kind, found[:3]
    assert found[0].rank == 1 and [s.score for s in found] == sorted([s.score for s in found])[::-1]
    assert found[0].score > 0.5
    # a fault at an end is told to the frame before or after
    assert (found[0].first, found[0].last) == pytest.approx((first, last), abs=1)
    assert found[0].track in (track, 50 if kind == "duplicate" else track)
    assert found[0].first <= found[0].frame <= found[0].last
    # everything else that is said is about the same place
    assert all(s.first <= last + 15 and s.last >= first - 15 for s in found)


def test_a_wrong_label_is_told_with_the_right_one():
    found = find_suspects(truth(wrong_label(columns())), agreeing(columns()))
    assert found[0].label == "cut" and found[0].suggestion.startswith("wipe: ")
    # relative to what is usual: of "wipe" all of it, of "cut" nothing
    assert found[0].score == 1.0


def test_the_score_of_an_end_follows_the_frames_that_contradict_it():
    """Each of 12 frames outside is worth 1 - 1/2 at full support: gain 6, score 1 - exp(-12 / 7.5)
    (two times the gain over half of the half second)."""
    found = find_suspects(truth(late(columns())), agreeing(columns()))
    assert found[0].score == pytest.approx(1 - math.exp(-6 / 0.5 / (0.25 * FPS) / 2), abs=1e-4)


def test_frames_that_were_not_processed_or_not_looked_at_are_not_judged():
    rows = forgotten(columns())
    part = agreeing(columns(), processed=[(0, START - 5)])
    held = part.videos["v"]
    keep = held.frames < START - 5
    cut = replace(
        held,
        frames=held.frames[keep],
        boxes=held.boxes[keep],
        objectness=held.objectness[keep],
        scores=held.scores[keep],
    )
    assert find_suspects(truth(invented(rows)), replace(part, videos={"v": cut})) == []
    looked_at = np.ones(FRAMES, bool)
    looked_at[START - 2 : START + SPAN + 2] = False
    assert find_suspects(truth(rows, looked_at), agreeing(columns())) == []


def test_without_detections_only_what_the_annotation_tells_itself():
    rows = twice(slipped(wrong_label(late(columns()))))
    kinds = {suspect.kind for suspect in find_suspects(truth(rows))}
    assert kinds == set(KINDS) - set(NEEDS_DETECTIONS) == {"jump", "duplicate"}


def test_a_class_whose_actions_leap_is_not_suspected_of_it():
    leaping = [
        (*r[:2], [s + 40 * ((r[1] // 10) % 2) for s in r[2]], r[3]) if r[3] == 1 else r
        for r in columns()
    ]
    assert [s for s in find_suspects(truth(leaping)) if s.kind == "jump"] == []


def test_boxes_of_one_track_with_two_classes_are_no_duplicates():
    both = columns() + [(*r[:3], 2) for r in columns() if r[0] == 3]
    video = truth(both).videos["v"]
    assert [s for s in find_suspects(AnnotationSet(NAMES, {"v": video}))] == []


def test_ignored_regions_are_left_aside():
    video = truth(twice(columns())).videos["v"]
    ignored = replace(video, ignored=video.track_ids == 50)
    assert find_suspects(AnnotationSet(NAMES, {"v": ignored}), agreeing(columns())) == []


def test_the_median_of_neighbours_leaves_the_middle_out():
    from stadet.detect.suspects.motion import _median_around

    values = np.random.default_rng(0).uniform(size=40)
    for reach in (1, 2, 7, 60):
        slow = [
            np.median(np.r_[values[max(0, t - reach) : t], values[t + 1 : t + 1 + reach]])
            for t in range(40)
        ]
        np.testing.assert_allclose(_median_around(values, reach), slow)
