"""AP lost to each kind of error (after TIDE, Bolya et al., ECCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.metrics.average_precision import average_precision, precision_recall
from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.matching import NONE, pair_up
from stadet.detect.metrics.ranking import Matcher

BACKGROUND_IOU = 0.1
KINDS = {
    "missed": "a truth that nothing found",
    "localisation": "right class, IoU between 0.1 and 0.5",
    "classification": "IoU of 0.5 or more with a truth of another class",
    "both": "wrong class and IoU between 0.1 and 0.5",
    "duplicate": "a further detection of a truth that a better one found",
    "background": "IoU below 0.1 with every truth",
}
EXAMPLES = 4  # frames named for each kind


@dataclass(frozen=True)
class Example:
    """A frame that shows an error: score is NaN for a missed truth."""

    video: str
    frame: int
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """counts {kind: (C,)} at the threshold, by the class of the detection (missed: of the truth);
    ap_gain {kind: mean AP won if errors of this kind were put right, alone}; ap_gain_per_class
    {kind: (C,)}; examples {kind: frames}."""

    counts: dict[str, np.ndarray]
    ap_gain: dict[str, float]
    ap_gain_per_class: dict[str, np.ndarray]
    examples: dict[str, list[Example]]


def diagnose(matcher: Matcher, threshold: float, iou: float = 0.5) -> Diagnosis:
    """Sort every false detection into one kind and every unfound truth into missed or not.

    The first kind that fits counts, in the order localisation, classification, duplicate,
    background, both. A truth is missed if no detection found it and no localisation or
    classification error lies on it. Counts and examples are of detections with a score of at least
    `threshold`; gains are over all detections, as AP is. Put right means: localisation and
    classification errors find their truth (if it is free, otherwise they vanish); duplicates,
    background and both vanish; missed truths are no longer asked for.
    """
    columns = matcher.columns
    match = matcher.match(iou)
    kind, target = _kinds(matcher, match.truth, iou)
    kind[match.ignored] = ""
    ranked = matcher.by_score[~match.ignored[matcher.by_score]]
    label, right = columns.entry_class, match.truth != NONE
    truths = np.bincount(matcher.truth_class, minlength=columns.num_classes)
    base = _average_precisions(matcher, ranked, label, right, truths)

    free = np.ones(len(matcher.truth_class), dtype=bool)
    free[match.truth[right]] = False
    covered = np.zeros(len(free), dtype=bool)
    gains = {}
    for name in KINDS:
        wrong = kind == name
        if name == "missed":
            continue
        fixed_label, fixed_right, kept = label.copy(), right.copy(), ~wrong
        if name in ("localisation", "classification"):
            finds_free = wrong.copy()
            finds_free[wrong] = free[target[wrong]]
            winner = _first_of_each(ranked, finds_free, target)
            covered[target[wrong]] = True
            fixed_label[winner] = matcher.truth_class[target[winner]]
            fixed_right[winner] = True
            kept[winner] = True
        rows = ranked[kept[ranked]]
        gains[name] = _average_precisions(matcher, rows, fixed_label, fixed_right, truths) - base
    missed = free & ~covered
    fewer = truths - np.bincount(matcher.truth_class[missed], minlength=columns.num_classes)
    without = _average_precisions(matcher, ranked, label, right, fewer)
    # with every truth of a class missed there is nothing left to find: the class is put right
    gains["missed"] = np.where((truths > 0) & (fewer == 0), 1.0, without) - base

    counts, examples = _at_threshold(matcher, kind, target, match.truth, threshold)
    gains = {name: gains[name] for name in KINDS}
    return Diagnosis(counts, {k: nan_mean(g) for k, g in gains.items()}, gains, examples)


def _kinds(matcher: Matcher, found: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Kind of each entry ("" where it is right) and the truth label (E,) it should have found."""
    columns = matcher.columns
    pairs = pair_up(
        columns.entry_image,
        columns.detection_boxes[columns.entry_detection],
        columns.truth_image[matcher.truth_box],
        columns.truth_boxes[matcher.truth_box],
        overlap=partial(rowwise_iou, plus_one=matcher.protocol.plus_one),
    )
    # a truth box that has the entry's class among its labels is no truth of another class
    labelled = columns.truth_labels[matcher.truth_box[pairs.truth]]
    own = matcher.truth_class[pairs.truth] == columns.entry_class[pairs.detection]
    other = ~labelled[np.arange(len(own)), columns.entry_class[pairs.detection]]
    own_truth, own_iou = pairs.select(own).best
    other_truth, other_iou = pairs.select(other).best

    kind = np.full(len(found), "both", dtype="U14")
    kind[np.maximum(own_iou, other_iou) < BACKGROUND_IOU] = "background"
    kind[own_iou >= iou] = "duplicate"
    kind[other_iou >= iou] = "classification"
    kind[(own_iou >= BACKGROUND_IOU) & (own_iou < iou)] = "localisation"
    kind[found != NONE] = ""
    target = np.where(kind == "classification", other_truth, own_truth)
    return kind, target


def _first_of_each(ranked: np.ndarray, candidates: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The highest-scoring candidate entry of each truth label."""
    rows = ranked[candidates[ranked]]
    _, first = np.unique(target[rows], return_index=True)
    return rows[first]


def _average_precisions(
    matcher: Matcher, rows: np.ndarray, label: np.ndarray, right: np.ndarray, truths: np.ndarray
) -> np.ndarray:
    """(C,) AP of the entries `rows` (by falling score), NaN for a class without truth."""
    rows = rows[np.argsort(label[rows], kind="stable")]
    bounds = np.searchsorted(label[rows], np.arange(len(truths) + 1))
    result = np.full(len(truths), np.nan)
    for c in np.flatnonzero(truths):
        part = rows[bounds[c] : bounds[c + 1]]
        curve = precision_recall(right[part], truths[c])
        result[c] = average_precision(*curve, matcher.protocol.interpolation)
    return result


def _at_threshold(
    matcher: Matcher, kind: np.ndarray, target: np.ndarray, found: np.ndarray, threshold: float
) -> tuple[dict[str, np.ndarray], dict[str, list[Example]]]:
    columns = matcher.columns
    shown = columns.entry_score >= threshold
    missed = np.ones(len(matcher.truth_class), dtype=bool)
    missed[found[shown & (found != NONE)]] = False
    missed[target[shown & np.isin(kind, ["localisation", "classification"])]] = False
    missed = np.flatnonzero(missed)

    def example(image: int, label: int, score: float) -> Example:
        return Example(
            columns.video_names[columns.image_video[image]],
            int(columns.image_frame[image]),
            columns.names[label],
            score,
        )

    classes = columns.num_classes
    counts = {"missed": np.bincount(matcher.truth_class[missed], minlength=classes)}
    spread = missed[np.linspace(0, len(missed) - 1, min(EXAMPLES, len(missed))).astype(int)]
    images = columns.truth_image[matcher.truth_box[spread]]
    examples = {
        "missed": [
            example(image, label, float("nan"))
            for image, label in zip(images, matcher.truth_class[spread], strict=True)
        ]
    }
    ranked = matcher.by_score
    for name in list(KINDS)[1:]:
        rows = ranked[(shown & (kind == name))[ranked]]
        counts[name] = np.bincount(columns.entry_class[rows], minlength=classes)
        rows = rows[_first_of_each_video(columns.image_video[columns.entry_image[rows]])]
        examples[name] = [
            example(columns.entry_image[e], columns.entry_class[e], float(columns.entry_score[e]))
            for e in rows[:EXAMPLES]
        ]
    return counts, examples


def _first_of_each_video(video: np.ndarray) -> np.ndarray:
    """Places of the first row of each video, so that examples do not all come from one."""
    _, first = np.unique(video, return_index=True)
    return np.sort(first)
