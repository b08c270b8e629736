"""Tracks that begin or end elsewhere than the detections of their action."""

from __future__ import annotations

import numpy as np

from stadet.detect.boxes import pairwise_iou
from stadet.detect.suspects.evidence import NEAR, Evidence, VideoEvidence
from stadet.detect.suspects.support import apart_from_truth
from stadet.detect.suspects.tracks import Finding, Run

REACH = 1.5  # seconds around a track in which its end is looked for
HALF = 0.5  # share of the usual score from which a frame is of the action
FOLLOW = 0.3  # IoU by which boxes are followed outside of the track
GAP = 3  # frames without a detection over which they are followed
MOST_CUT = 0.6  # share of a track beyond which its end is not moved in: it is unsupported then
PRESENT = 0.5  # a track with less support has no ends to speak of
SECONDS = 0.25  # frames of full contradiction this long are two thirds sure (1 - 1/e)


def shifted_ends(evidence: Evidence) -> list[Finding]:
    """At each end of a track, the end that fits detections best: frames of the action outside and
    frames without it inside speak against the annotated one. Score: how much they do.

    The action's share e(t) of the usual score is taken along the track, and outside along the
    detections that continue it, as far as no other truth box explains them. An end moved by k
    frames gains the sum of e(t) - 1/2 over the frames it takes in, or of 1/2 - e(t) over those it
    leaves out; the best k is suggested.
    """
    findings = []
    for video in evidence.videos:
        if video.detections is None:
            continue
        free = _free(video, evidence)
        reach = max(1, round(REACH * video.truth.fps))
        for run in video.runs:
            judged = video.judged(run)
            support = evidence.relative(video.support(run, NEAR))
            if not judged.any():
                continue
            mean = support[judged].mean(axis=0)
            label = run.label if mean[run.label] >= PRESENT * mean.max() else int(mean.argmax())
            if mean[label] < PRESENT * 0.5:
                continue
            inside = np.where(judged, support[:, label], HALF)
            for end in (0, -1):
                findings.append(_end(video, run, label, end, inside, free, reach))
    return findings


def _free(video: VideoEvidence, evidence: Evidence) -> np.ndarray:
    """(M, C) shares of the usual score of detections, 0 where a truth box explains them."""
    found = video.detections
    assert found is not None
    return np.where(apart_from_truth(video, found)[:, None], evidence.relative(found.scores), 0.0)


def _end(
    video: VideoEvidence,
    run: Run,
    label: int,
    end: int,
    inside: np.ndarray,
    free: np.ndarray,
    reach: int,
) -> Finding:
    """The best place of one end (0: first frame, -1: last frame)."""
    outside, boxes = _followed(video, run, label, end, free, reach)
    gains_out = np.cumsum(outside - HALF)
    along = inside if end == 0 else inside[::-1]
    gains_in = np.cumsum(HALF - along[: round(len(along) * MOST_CUT)])
    best_out = float(gains_out.max(initial=0.0))
    best_in = float(gains_in.max(initial=0.0))
    edge = run.start if end == 0 else run.stop - 1
    outward = -1 if end == 0 else 1
    if best_out >= best_in:
        frames = int(gains_out.argmax()) + 1 if best_out > 0 else 0
        better, gain = edge + outward * frames, best_out
        shown = better
        box = boxes[frames - 1] if frames else run.boxes[end]
    else:
        frames = int(gains_in.argmax()) + 1
        better, gain = edge - outward * frames, best_in
        shown, box = edge, run.boxes[end]
    score = 1 - float(np.exp(-gain / HALF / (SECONDS * video.truth.fps) / 2))
    what = "begins" if end == 0 else "ends"
    first, last = sorted((edge, better))
    return Finding(
        "onset",
        score,
        video.truth.name,
        run.track,
        first,
        last,
        shown,
        box,
        run.label,
        f"{what} on frame {edge}, rather on {better}",
    )


def _followed(
    video: VideoEvidence, run: Run, label: int, end: int, free: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Outside of one end, from it on: the action's share (K,) on each frame and boxes (K, 4).

    Ends at a frame that was not looked at or processed, and where the boxes are lost.
    """
    found = video.detections
    assert found is not None
    box, lost = run.boxes[end], 0
    shares: list[float] = []
    boxes: list[np.ndarray] = []
    step = -1 if end == 0 else 1
    frame = run.start - 1 if end == 0 else run.stop
    while len(shares) < reach and 0 <= frame < video.truth.num_frames and lost <= GAP:
        if not (video.truth.looked_at[frame] and found.is_processed(np.array([frame]))[0]):
            break
        rows = np.arange(*np.searchsorted(found.frames, [frame, frame + 1]))
        iou = pairwise_iou(box[None], found.boxes[rows])[0]
        worth = np.where(iou >= FOLLOW, free[rows, label] * np.sqrt(iou), 0)
        if len(rows) and worth.max() > 0:
            best = rows[worth.argmax()]
            box, lost = found.boxes[best], 0
            shares.append(float(free[best, label]))
        else:
            lost += 1
            shares.append(0.0)
        boxes.append(box)
        frame += step
    return np.array(shares), np.array(boxes).reshape(-1, 4)
