"""Clicks that drafts of `stad pre-annotate` save, and what thinning them costs.

    python benchmarks/held_out_folds.py --out runs/faulty --minutes 10 --scenes 10 --seed 1
    python benchmarks/pre_annotation.py --folds runs/faulty --model recurrent --pixels 4 8

Held-out detections become drafts. A click is one keyframe added, moved or deleted, one class
chosen, one end set, one track deleted. Both ways reach the same quality: every box within
--pixels a side of the truth on every frame, the ends within 0.2 s, the right class. From scratch
a track costs its fewest keyframes (a shortest path, as `stadet.datasets.formats.keyframes`), a
class and an end. A draft track is corrected as cheaply as possible: a shortest path over
keyframes that are kept (0, if they are good enough), moved or added (1 each), plus those it skips
(deleted, 1 each), its class if it is wrong, its end if it is off; or it is deleted and its action
drawn from scratch if that is less. Looking for mistakes is not counted; a model of an annotator,
not a person.
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from stadet.datasets.drafts import Draft, DraftOptions, draft_annotations
from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.coco_video import read_coco_video
from stadet.datasets.formats.keyframes import interpolated, keyframes
from stadet.detect.boxes import rowwise_iou
from stadet.detect.detections.reader import read_detections
from stadet.detect.structures import Tube, VideoAnnotations
from stadet.detect.tubes.truth import truth_tubes

SLACK_SECONDS = 0.2  # by which an end may be off
SAME = 0.3  # mean IoU over the shared frames from which a draft is of an action


def from_scratch(truth: Tube, pixels: float) -> Counter:
    count = int(keyframes(truth.boxes, pixels).sum())
    return Counter(added=count, classes=1, ends=1)


def corrected(truth: Tube, draft: Tube, key: np.ndarray, pixels: float, slack: int) -> Counter:
    """The fewest clicks from a draft track (its keyframes: key (L,) bool) to the truth."""
    first = draft.start if abs(draft.start - truth.start) <= slack else truth.start
    stop = draft.stop if abs(draft.stop - truth.stop) <= slack else truth.stop
    at = np.arange(max(first, truth.start), min(stop, truth.stop))
    wanted = truth.boxes[at - truth.start]
    place = np.clip(at - draft.start, 0, len(draft) - 1)
    inside = (at >= draft.start) & (at < draft.stop)
    is_key = inside & key[place]
    # slack at an end may leave the draft's own first or last keyframe outside of `at`
    beyond = draft.start + np.flatnonzero(key)
    outside = int(((beyond < first) | (beyond >= stop)).sum())
    drafted = draft.boxes[place]
    good = is_key & (np.abs(drafted - wanted).max(axis=1) <= pixels)
    good[0] |= inside[0] and np.abs(drafted[0] - wanted[0]).max() <= pixels and first == draft.start
    good[-1] |= (
        inside[-1] and np.abs(drafted[-1] - wanted[-1]).max() <= pixels and stop == draft.stop
    )
    keys_before = np.concatenate([[0], np.cumsum(is_key)])  # in at[:k]
    places = np.concatenate([np.flatnonzero(good), np.arange(len(at))])
    boxes = np.concatenate([drafted[good], wanted])
    price = np.concatenate([np.zeros(good.sum()), np.ones(len(at))])
    order = np.argsort(places, kind="stable")
    places, boxes, price = places[order], boxes[order], price[order]
    best = np.where(places == 0, price, np.inf)
    for node in range(len(places)):
        if not np.isfinite(best[node]):
            continue
        ahead = np.flatnonzero(places > places[node])
        if not len(ahead):
            continue
        between = np.arange(places[node] + 1, len(at))
        away = (between - places[node])[:, None]
        low = np.maximum.accumulate((wanted[between] - pixels - boxes[node]) / away)
        high = np.minimum.accumulate((wanted[between] + pixels - boxes[node]) / away)
        low = np.concatenate([np.full((1, 4), -np.inf), low])
        high = np.concatenate([np.full((1, 4), np.inf), high])
        steps = places[ahead] - places[node]
        slope = (boxes[ahead] - boxes[node]) / steps[:, None]
        holds = ((slope >= low[steps - 1] - 1e-9) & (slope <= high[steps - 1] + 1e-9)).all(axis=1)
        skipped = keys_before[places[ahead]] - keys_before[places[node] + 1]
        cost = np.where(holds, best[node] + price[ahead] + skipped, np.inf)
        best[ahead] = np.minimum(best[ahead], cost)
    edits = int(best[places == len(at) - 1].min())
    clicks = Counter(keyframes=edits, deleted=outside)
    clicks["ends"] = int(stop != draft.stop)
    clicks["classes"] = int(draft.label != truth.label)
    return clicks


def tubes_of(draft: Draft, tolerance: float) -> list[tuple[Tube, np.ndarray]]:
    """Draft tracks and their keyframes."""
    video, found = draft.annotations, []
    for track in np.unique(video.track_ids).tolist():
        rows = np.flatnonzero(video.track_ids == track)
        breaks = np.flatnonzero(np.diff(video.frames[rows]) > 1) + 1
        for run in np.split(rows, breaks):
            doubt = draft.uncertain[run]
            key = keyframes(video.boxes[run], 1e-6, np.diff(doubt, prepend=doubt[:1]))
            label = int(video.labels[run[0]].argmax())
            found.append((Tube(int(video.frames[run[0]]), video.boxes[run], label), key))
    return found


def overlap(a: Tube, b: Tube) -> tuple[int, float]:
    """(shared frames, mean IoU on them)."""
    first, stop = max(a.start, b.start), min(a.stop, b.stop)
    if stop <= first:
        return 0, 0.0
    iou = rowwise_iou(
        a.boxes[first - a.start : stop - a.start], b.boxes[first - b.start : stop - b.start]
    )
    return stop - first, float(iou.mean())


def clicks_of(
    truth: VideoAnnotations, draft: Draft, pixels: float, tolerance: float
) -> tuple[Counter, Counter, Counter]:
    """(from scratch, with the draft, facts) of a video."""
    tubes, drafts = truth_tubes(truth), tubes_of(draft, tolerance)
    slack = round(SLACK_SECONDS * truth.fps)
    owner: dict[int, list[int]] = defaultdict(list)
    facts = Counter(tracks=len(tubes), drafts=len(drafts))
    with_draft, scratch = Counter(), Counter()
    for number, (tube, _) in enumerate(drafts):
        shares = [overlap(tube, other) for other in tubes]
        worth = [frames * iou if iou >= SAME else 0.0 for frames, iou in shares]
        if not worth or max(worth) <= 0:
            with_draft["tracks deleted"] += 1
            facts["false"] += 1
        else:
            owner[int(np.argmax(worth))].append(number)
    for number, tube in enumerate(tubes):
        own = from_scratch(tube, pixels)
        scratch += own
        if not owner[number]:
            with_draft += own
            facts["missed"] += 1
            continue
        options = [corrected(tube, *drafts[k], pixels, slack) for k in owner[number]]
        best = min(options, key=lambda c: c.total())
        others = len(options) - 1
        if best.total() > own.total() + 1:
            best, others = own, len(options)
        with_draft += best
        with_draft["tracks deleted"] += others
        facts["as it is"] += int(best.total() == 0)
    return scratch, with_draft, facts


def thinning(draft: Draft, raw: Draft, tolerance: float) -> tuple[int, int, int, float]:
    """(boxes, fewest keyframes, Douglas and Peucker's, largest error) of the unthinned boxes."""
    boxes = count = greedy = 0
    error = 0.0
    for track in np.unique(raw.annotations.track_ids).tolist():
        rows = np.flatnonzero(raw.annotations.track_ids == track)
        breaks = np.flatnonzero(np.diff(raw.annotations.frames[rows]) > 1) + 1
        for run in np.split(rows, breaks):
            own = raw.annotations.boxes[run]
            key = keyframes(own, tolerance)
            boxes, count = boxes + len(own), count + int(key.sum())
            greedy += int(douglas_peucker(own, tolerance).sum())
            error = max(error, float(np.abs(interpolated(own, key) - own).max()))
    return boxes, count, greedy, error


def douglas_peucker(boxes: np.ndarray, tolerance: float) -> np.ndarray:
    """What the toolkit did before: split a line at its worst box."""
    keep = np.zeros(len(boxes), dtype=bool)
    keep[[0, -1]] = True
    spans = [(0, len(boxes) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        share = (np.arange(1, last - first) / (last - first))[:, None]
        line = boxes[first] * (1 - share) + boxes[last] * share
        error = np.abs(boxes[first + 1 : last] - line).max(axis=1)
        if error.max() > tolerance:
            middle = first + 1 + int(error.argmax())
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return keep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=Path, nargs="+", required=True)
    parser.add_argument("--model", choices=("frame", "recurrent"), default="recurrent")
    parser.add_argument("--pixels", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--threshold", type=float, default=DraftOptions.threshold)
    parser.add_argument("--smooth", type=float, default=DraftOptions.smooth)
    parser.add_argument("--tolerance", type=float, default=DraftOptions.tolerance)
    args = parser.parse_args()
    options = DraftOptions(threshold=args.threshold, smooth=args.smooth, tolerance=args.tolerance)
    unthinned = DraftOptions(threshold=args.threshold, smooth=args.smooth, tolerance=0.0)
    print(f"{platform.machine()}, numpy {np.__version__}, {args.model}, {options}")
    pairs, thin = [], np.zeros(4)
    for folder in args.folds:
        truth = read_coco_video(folder / "footage" / "clean.json")
        found = read_detections(folder / f"{args.model}.jsonl", truth)
        for video in truth:
            if not len(found.videos[video.name]):
                continue  # of the other fold
            info = VideoInfo(video.name, video.size, video.fps, video.num_frames, None)
            draft = draft_annotations(found.videos[video.name], info, options)
            raw = draft_annotations(found.videos[video.name], info, unthinned)
            # what nobody looked at is not asked for
            seen = video.looked_at[draft.annotations.frames]
            annotations = draft.annotations.narrowed(video.looked_at)
            draft = Draft(
                annotations, draft.scores[seen], draft.uncertain[seen], [], 0, draft.error
            )
            pairs.append((video, draft))
            more = thinning(draft, raw, args.tolerance)
            thin = np.array([*(thin[:3] + more[:3]), max(thin[3], more[3])])
    print(
        f"thinning to {args.tolerance:g} px: {thin[0]:.0f} boxes, {thin[1]:.0f} keyframes "
        f"(Douglas and Peucker: {thin[2]:.0f}), largest error {thin[3]:.3f} px"
    )
    for pixels in args.pixels:
        total = [Counter(), Counter(), Counter()]
        for video, draft in pairs:
            for kind, more in zip(
                total, clicks_of(video, draft, pixels, args.tolerance), strict=True
            ):
                kind.update(more)
        scratch, with_draft, facts = total
        saved = 1 - with_draft.total() / scratch.total()
        print(f"within {pixels:g} px: {scratch.total()} clicks from scratch {dict(scratch)}")
        print(f"  {with_draft.total()} with the draft ({saved:.0%} saved) {dict(with_draft)}")
        print(f"  {dict(facts)}")


if __name__ == "__main__":
    main()
