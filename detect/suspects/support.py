"""Checks of tracks against detections: class, presence, and where the boxes lie."""

from __future__ import annotations

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import NO_TRACK
from stadet.detect.suspects.evidence import NEAR, SAME, Evidence, VideoEvidence
from stadet.detect.suspects.tracks import Finding, Run
from stadet.detect.tubes.linking import LinkOptions, link_video

APART = 0.3  # IoU below which a detection means no truth box; and share of the usual
SECONDS = 0.5  # a presence of this length is two thirds sure (1 - 1/e)
LEAST_SECONDS = 0.3  # shorter presences are flicker
LEAST_RELATIVE = 0.3  # detections weaker than this share of the usual are no presence


def wrong_labels(evidence: Evidence) -> list[Finding]:
    """Tracks on which detections prefer a class that is not annotated; score: how much of what is
    usual for that class it reaches, less the same of the annotated class."""
    findings = []
    for video, run, judged in _judged_runs(evidence):
        mean = video.support(run, SAME)[judged].mean(axis=0)
        share = evidence.relative(mean)
        free = ~run.others
        free[run.label] = False
        if not free.any():
            continue
        best = int(np.flatnonzero(free)[share[free].argmax()])
        score = float(share[best] - share[run.label])
        own = video.support(run, SAME)[:, best]
        text = f"mean score {mean[best]:.2f}, of the annotated class {mean[run.label]:.2f}"
        findings.append(_on_run("label", score, video, run, int(own.argmax()), text, best))
    return findings


def unsupported(evidence: Evidence) -> list[Finding]:
    """Tracks near which detections of any class are weak; score: what is missing from the usual."""
    findings = []
    for video, run, judged in _judged_runs(evidence):
        share = evidence.relative(video.support(run, NEAR)).max(axis=1)
        score = (1 - float(share[judged].mean())) * _sure(int(judged.sum()), video)
        text = f"{(share[judged] < 0.5).sum()} of {judged.sum()} frames have no detection near it"
        weakest = int(np.flatnonzero(judged)[share[judged].argmin()])
        findings.append(_on_run("unsupported", score, video, run, weakest, text))
    return findings


def loose_boxes(evidence: Evidence) -> list[Finding]:
    """Tracks whose boxes overlap the detection there less than is usual for the class; score: the
    share of the usual IoU that is missing."""
    overlaps = []
    for video, run, judged in _judged_runs(evidence):
        rows, iou = video.near(run)
        found = video.detections
        assert found is not None
        strength = evidence.relative(found.scores[rows]).max(axis=1)
        # the detection that the frame's box is most likely about: strong, and near it
        worth = np.where(iou >= NEAR, strength * np.sqrt(iou), 0)
        at = found.frames[rows] - run.start
        best = np.zeros(len(run))
        np.maximum.at(best, at, worth)
        chosen = (worth == best[at]) & (worth > 0)
        own = np.full(len(run), np.nan)
        own[at[chosen]] = iou[chosen]
        known = judged & ~np.isnan(own)
        if known.sum() >= max(2, 0.5 * judged.sum()):
            overlaps.append((video, run, own, float(np.median(own[known]))))
    usual = np.full(evidence.num_classes, np.nan)
    for label in range(evidence.num_classes):
        same = [median for _, run, _, median in overlaps if run.label == label]
        usual[label] = np.median(same) if same else np.nan
    findings = []
    for video, run, own, median in overlaps:
        score = 1 - median / usual[run.label]
        text = f"IoU {median:.2f} with detections, usual are {usual[run.label]:.2f}"
        at_median = int(np.nanargmin(np.abs(own - median)))
        findings.append(_on_run("box", score, video, run, at_median, text))
    return findings


def missing(evidence: Evidence) -> list[Finding]:
    """Detections where no truth box is, linked through time; score: their strength as a share of
    the usual, and how long they last. What continues a track is left to `shifted_ends`."""
    findings = []
    for video in evidence.videos:
        found = video.detections
        if found is None:
            continue
        relative = evidence.relative(found.scores)
        rows = np.flatnonzero(
            (relative.max(axis=1, initial=0) >= LEAST_RELATIVE) & apart_from_truth(video, found)
        )
        strength = relative[rows].max(axis=1, initial=0)
        loose = VideoDetections(
            found.name,
            found.frames[rows],
            found.boxes[rows],
            found.objectness[rows],
            strength[:, None],
            found.processed,
            found.clock,
        )
        least = max(2, round(LEAST_SECONDS * video.truth.fps))
        options = LinkOptions(
            min_score=LEAST_RELATIVE, max_gap=3, switch_cost=None, min_length=least
        )
        for tube in link_video(loose, options):
            stop = tube.start + len(tube)
            if _continues(video, tube.start, stop, tube.boxes) or _is_of_a_track(
                video, evidence, tube.start, tube.boxes
            ):
                continue
            part = np.arange(*np.searchsorted(loose.frames, [tube.start, stop]))
            at = loose.frames[part] - tube.start
            same = part[rowwise_iou(loose.boxes[part], tube.boxes[at]) > 0.5]
            classes = relative[rows[same]]
            label = int(classes.sum(axis=0).argmax()) if len(same) else 0
            score = tube.score * _sure(len(tube), video)
            middle = len(tube) // 2
            text = f"detected on {len(np.unique(loose.frames[same]))} frames, mean score "
            text += f"{found.scores[rows[same], label].mean() if len(same) else 0:.2f}"
            findings.append(
                Finding(
                    "missing",
                    score,
                    found.name,
                    NO_TRACK,
                    tube.start,
                    stop - 1,
                    tube.start + middle,
                    tube.boxes[middle],
                    label,
                    text,
                )
            )
    return findings


def _judged_runs(evidence: Evidence):
    """(video, run, frames that are judged) of all runs that detections can say something of."""
    for video in evidence.videos:
        for run in video.runs:
            judged = video.judged(run)
            if judged.any():
                yield video, run, judged


def _sure(frames: int, video: VideoEvidence) -> float:
    return 1 - float(np.exp(-frames / (SECONDS * video.truth.fps)))


def apart_from_truth(video: VideoEvidence, found: VideoDetections) -> np.ndarray:
    """(M,) bool: detections on looked-at frames, apart from every truth box of the frame."""
    truth = video.truth
    known = found.frames < truth.num_frames
    alone = known & truth.looked_at[np.minimum(found.frames, truth.num_frames - 1)]
    first, last = np.searchsorted(truth.frames, [found.frames, found.frames + 1])
    for place in range(int((last - first).max(initial=0))):
        rows = np.flatnonzero(first + place < last)
        iou = rowwise_iou(found.boxes[rows], truth.boxes[first[rows] + place])
        alone[rows[iou >= APART]] = False
    return alone


def _continues(video: VideoEvidence, start: int, stop: int, boxes: np.ndarray) -> bool:
    """Does a run begin where the tube ends, or end where it begins?"""
    for run in video.runs:
        if 0 <= start - run.stop <= 3 and rowwise_iou(run.boxes[-1], boxes[0]) >= APART:
            return True
        if 0 <= run.start - stop <= 3 and rowwise_iou(run.boxes[0], boxes[-1]) >= APART:
            return True
    return False


def _is_of_a_track(video: VideoEvidence, evidence: Evidence, start: int, boxes: np.ndarray) -> bool:
    """Does a tube lie on a run that has no better detections? Then the run's boxes are loose."""
    stop = start + len(boxes)
    for run in video.runs:
        first, last = max(start, run.start), min(stop, run.stop)
        if last - first < 0.5 * len(boxes):
            continue
        here = slice(first - run.start, last - run.start)
        iou = rowwise_iou(boxes[first - start : last - start], run.boxes[here])
        if np.median(iou) < NEAR:
            continue
        support = evidence.relative(video.support(run, APART)[here]).max(axis=1)
        if support.mean() < APART:
            return True
    return False


def _on_run(
    kind: str,
    score: float,
    video: VideoEvidence,
    run: Run,
    at: int,
    suggestion: str,
    other: int | None = None,
) -> Finding:
    name = video.truth.name
    return Finding(
        kind,
        score,
        name,
        run.track,
        run.start,
        run.stop - 1,
        run.start + at,
        run.boxes[at],
        run.label,
        suggestion,
        other,
    )
