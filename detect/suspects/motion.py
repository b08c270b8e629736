"""Checks that need no detections: leaps of a box, and two tracks of one thing."""

from __future__ import annotations

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.structures import NO_TRACK
from stadet.detect.suspects.evidence import Evidence, VideoEvidence
from stadet.detect.suspects.tracks import Finding, Run

WINDOW = 0.5  # seconds on either side of a step in which its track's usual steps are taken
USUAL_STEPS = 3.0  # a leap is what exceeds so many usual steps
LEAP = 0.3  # box sizes by which a leap exceeds them, two thirds sure (1 - 1/e)
LONGEST = 1.0  # seconds after which a leap back is no return of the first
TOGETHER = 0.5  # least share of the shorter track over which two are one thing


def jumps(evidence: Evidence) -> list[Finding]:
    """The largest leap of each track; where it leaps back soon, the stretch between. Score: by how
    much it exceeds the leaps of most tracks of the class, since some actions are done in leaps."""
    leaps = [
        (video, run, *_leap(video, run))
        for video in evidence.videos
        for run in video.runs
        if len(run) >= 4
    ]
    findings = []
    for label in range(evidence.num_classes):
        own = [leap for leap in leaps if leap[1].label == label]
        usual = float(np.median([leap[2] for leap in own])) if own else 0.0
        for video, run, size, first, last, text in own:
            score = 1 - float(np.exp(-max(size - usual, 0.0) / LEAP))
            findings.append(
                Finding(
                    "jump",
                    score,
                    video.truth.name,
                    run.track,
                    run.start + first,
                    run.start + last,
                    run.start + first,
                    run.boxes[first],
                    run.label,
                    text,
                )
            )
    return findings


def _leap(video: VideoEvidence, run: Run) -> tuple[float, int, int, str]:
    """Size of a run's largest leap in box sizes beyond its usual steps, at least 0; the first and
    last places in the run that it concerns; words."""
    moves = np.diff(run.boxes, axis=0) / run.size
    steps = np.abs(moves).max(axis=1)
    reach = max(2, round(WINDOW * video.truth.fps))
    usual = _median_around(steps, reach)
    excess = steps - USUAL_STEPS * usual
    top = int(excess.argmax())
    longest = max(1, round(LONGEST * video.truth.fps))
    near = [
        t
        for t in range(max(0, top - longest), min(len(steps), top + longest + 1))
        if t != top and excess[t] > 0.5 * excess[top] and (moves[t] * moves[top]).sum() < 0
    ]
    back = max(near, key=lambda t: excess[t], default=None)
    first, last = (top + 1, top + 1) if back is None else (min(top, back) + 1, max(top, back))
    text = f"moves {steps[top]:.2f} box sizes in one frame, {usual[top]:.2f} are usual around it"
    return max(float(excess[top]), 0.0), first, last, text


def _median_around(values: np.ndarray, reach: int) -> np.ndarray:
    """(L,) median of the up to 2 x reach neighbours of each value, itself left out; L > 1."""
    padded = np.pad(values, reach, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    neighbours = np.sort(np.delete(windows, reach, axis=1), axis=1)  # NaN last
    count = (~np.isnan(neighbours)).sum(axis=1)
    row = np.arange(len(values))
    return (neighbours[row, (count - 1) // 2] + neighbours[row, count // 2]) / 2


def duplicates(evidence: Evidence) -> list[Finding]:
    """Pairs of tracks that lie on each other; score: mean IoU over the frames of the shorter one.
    Boxes of one track have several classes on purpose and are no pair."""
    findings = []
    for video in evidence.videos:
        for place, run in enumerate(video.runs):
            for other in video.runs[place + 1 :]:
                if other.start >= run.stop:
                    break
                if run.track == other.track and run.track != NO_TRACK:
                    continue
                found = _pair(video, run, other)
                if found is not None:
                    findings.append(found)
    return findings


def _pair(video: VideoEvidence, run: Run, other: Run) -> Finding | None:
    first, stop = max(run.start, other.start), min(run.stop, other.stop)
    shorter = min(len(run), len(other))
    if stop - first < TOGETHER * shorter:
        return None
    iou = rowwise_iou(
        run.boxes[first - run.start : stop - run.start],
        other.boxes[first - other.start : stop - other.start],
    )
    score = float(iou.sum()) / shorter
    one, two = (other, run) if len(run) >= len(other) else (run, other)
    at = first + int(iou.argmax())
    return Finding(
        "duplicate",
        score,
        video.truth.name,
        one.track,
        first,
        stop - 1,
        at,
        one.boxes[at - one.start],
        one.label,
        f"lies on track {two.track} with a mean IoU of {iou.mean():.2f}",
        two.label if two.label != one.label else None,
    )
