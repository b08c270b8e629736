"""Ids of actors by several associations: HOTA and IDF1 over boxes whose ids are known.

    python benchmarks/actors.py --ucf24 shared/data/ucf24_boxes/pyannot.pkl
    python benchmarks/actors.py --restaurant 5 --seed 2 --step 2   # minutes of generated footage
    python benchmarks/actors.py --video shared/data/people_above/one-by-one-person-detection.mp4

Truth boxes become detections as a detector makes them: jittered by 5% of their sides, a tenth of
them missing, every third with a weaker second box of another class on it, now and then a false one.
An actor is hidden where a lower one covers 60% of it, and once in --every seconds on average for
0.2 to 0.8 s. UCF101-24: the training videos with two tubes at a time or more (on 16 of the test
list and on 2 minutes of counters of seed 1 the overlaps of cbiou were chosen). Ids are those of
tubes (UCF101-24) and of hands (generated footage). Figures are over the boxes of all videos
together, whatever their classes.

--video: real footage from a camera that stands still, whose ids nobody knows. Its boxes are what
moves before the background (OpenCV's MOG2). Boxes that overlap one box alone from frame to frame
for 2 s or longer are of one actor for sure; each such chain is hidden in its middle for 0.5 or
0.8 s, and told is after how many its id is the one from before.

ultralytics' trackers are run on the same merged boxes where the package lap is installed (theirs
count frames, so a frame is one of 25 or 15 a second). CPU time of this process, one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stadet.datasets.footage.video import open_video
from stadet.datasets.formats.ucf24 import read_ucf24
from stadet.datasets.restaurant import FootageConfig, generate
from stadet.detect.actors.merging import leaders_of
from stadet.detect.actors.methods import METHODS
from stadet.detect.actors.offline import find_actors
from stadet.detect.actors.tracker import ActorOptions
from stadet.detect.boxes import pairwise_iou, rowwise_share
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.metrics.tracking import TrackingMetric, Trajectories
from stadet.detect.structures import NO_TRACK, VideoAnnotations

HIDDEN = 0.6  # share of a box that a lower one covers
CLASSES = 4


def ucf24_videos(path: Path, most: int) -> Iterator[VideoAnnotations]:
    """Training videos in which two tubes pass one frame; `most` of them, evenly spread."""
    annotations = read_ucf24(path)
    listed = path.with_name("testlist01.txt").read_text().split()
    tested = {name.removesuffix(".avi").removesuffix(".mp4") for name in listed}
    crowded = [
        video
        for video in annotations
        if video.name not in tested and len(np.unique(video.frames)) < len(video.frames)
    ]
    for place in np.unique(np.linspace(0, len(crowded) - 1, most).round().astype(int)).tolist():
        yield crowded[place]


def restaurant_videos(minutes: float, seed: int) -> Iterator[VideoAnnotations]:
    """Counters at which two workers act together most of the time; nothing is filmed."""
    config = FootageConfig(
        minutes=minutes,
        scenes=max(1, round(minutes)),
        views=1,
        seed=seed,
        action_share=0.9,
        together=1.0,
        unseen_share=0.0,
        span="whole",
    )
    for scene in generate(config):
        yield scene.annotations("front")


def detected(video: VideoAnnotations, every: float, rng: np.random.Generator) -> VideoDetections:
    """Detections of a truth, as the page's top says."""
    keep = ~(_covered(video) | _hidden(video, every, rng)) & (rng.random(len(video.frames)) >= 0.1)
    rows = np.flatnonzero(keep)
    twice = rows[rng.random(len(rows)) < 1 / 3]
    false = np.flatnonzero(rng.random(video.num_frames) < 0.2)
    source = np.concatenate([rows, twice])
    sides = np.tile(video.boxes[source, 2:] - video.boxes[source, :2], 2)
    height, width = video.size
    corner = rng.uniform(0, 0.8, (len(false), 2)) * [width, height]
    loose = np.concatenate(
        [corner, corner + rng.uniform(0.05, 0.2, corner.shape) * [width, height]], axis=1
    )
    boxes = np.concatenate(
        [video.boxes[source] + rng.normal(0, 0.05, (len(source), 4)) * sides, loose]
    )
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    strength = np.concatenate(
        [rng.beta(5, 2, len(rows)), 0.5 * rng.beta(5, 2, len(twice)), rng.beta(1.5, 6, len(false))]
    )
    frames = np.concatenate([video.frames[source], false])
    scores = np.zeros((len(frames), CLASSES))
    scores[np.arange(len(frames)), rng.integers(0, CLASSES, len(frames))] = strength
    order = np.argsort(frames, kind="stable")
    return VideoDetections(
        video.name,
        frames[order],
        boxes[order],
        np.full(len(frames), np.nan),
        scores[order],
        np.array([[0, video.num_frames - 1]]),
        video.clock,
    )


def _covered(video: VideoAnnotations) -> np.ndarray:
    """(M,) bool: boxes of which a lower one hides the most."""
    hidden = np.zeros(len(video.frames), dtype=bool)
    edges = np.flatnonzero(np.diff(video.frames)) + 1
    for rows in np.split(np.arange(len(video.frames)), edges):
        boxes = video.boxes[rows]
        share = rowwise_share(boxes[:, None].repeat(len(boxes), axis=1), boxes[None])
        hidden[rows] = ((share >= HIDDEN) & (boxes[None, :, 3] > boxes[:, None, 3])).any(axis=1)
    return hidden


def _hidden(video: VideoAnnotations, every: float, rng: np.random.Generator) -> np.ndarray:
    """(M,) bool: boxes of actors that something stands before."""
    hidden = np.zeros(len(video.frames), dtype=bool)
    for track in np.unique(video.track_ids):
        rows = np.flatnonzero(video.track_ids == track)
        at = video.clock.seconds(video.frames[rows])
        begin = at[0] + rng.exponential(every)
        while begin < at[-1]:
            end = begin + rng.uniform(0.2, 0.8)
            hidden[rows[(at >= begin) & (at < end)]] = True
            begin = end + rng.exponential(every)
    return hidden


def merged(video: VideoDetections) -> VideoDetections:
    """One box a place of each frame, in one class."""
    keep, edges = np.zeros(len(video), dtype=bool), np.flatnonzero(np.diff(video.frames)) + 1
    strength = video.scores.max(axis=1, initial=0)
    for rows in np.split(np.arange(len(video)), edges):
        keep[rows[np.unique(leaders_of(video.boxes[rows], strength[rows]))]] = True
    return replaced(replace(video, scores=strength[:, None]), keep)


def moving_boxes(path: Path) -> VideoDetections:
    """Boxes of what moves, with a score of 0.9."""
    import cv2

    video = open_video(path)
    background = cv2.createBackgroundSubtractorMOG2(history=300, detectShadows=True)
    least = 0.002 * video.size[0] * video.size[1]
    frames, boxes = [], []
    for frame, image in video.frames():
        mask = (background.apply(image) == 255).astype(np.uint8)  # 127: shadow
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        mask = cv2.dilate(mask, np.ones((11, 11), np.uint8))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            x, y, width, height = cv2.boundingRect(outline)
            if width * height >= least and frame >= 30:  # the background is known by then
                frames.append(frame)
                boxes.append([x, y, x + width, y + height])
    return VideoDetections(
        video.name,
        np.array(frames),
        np.array(boxes, dtype=np.float64),
        np.full(len(frames), np.nan),
        np.full((len(frames), 1), 0.9),
        np.array([[0, len(video) - 1]]),
        video.clock,
    )


def sure_chains(video: VideoDetections) -> list[np.ndarray]:
    """Rows of boxes that overlap each other, and nothing else, from frame to frame for 2 s."""
    chains: dict[int, list[int]] = {}  # by the last row
    done = []
    for frame in range(int(video.processed[-1, 1]) + 1):
        bounds = np.searchsorted(video.frames, [frame - 1, frame, frame + 1])
        before, here = np.arange(*bounds[:2]), np.arange(*bounds[1:])
        near = pairwise_iou(video.boxes[before], video.boxes[here]) > 0.02
        near &= (near.sum(axis=0) == 1) & (near.sum(axis=1, keepdims=True) == 1)
        following = dict(zip(before[np.nonzero(near)[0]], here[np.nonzero(near)[1]], strict=True))
        going_on = {int(new): chains.pop(int(old)) for old, new in following.items()}
        done += chains.values()
        chains = {row: [*going_on.get(row, []), row] for row in here.tolist()}
    done += chains.values()
    return [np.array(rows) for rows in done if len(rows) >= 2 * video.clock.fps]


def tell_survival(path: Path, ways: dict[str, Callable[[VideoDetections], np.ndarray]]) -> None:
    """Print after how many hidden stretches of real footage an id is the one from before."""
    video = merged(moving_boxes(path))
    chains = sure_chains(video)
    print(
        f"{video.name}: {len(video):,} boxes on {int(video.processed[-1, 1]) + 1:,} frames, "
        f"{len(chains)} chains of {np.mean([len(c) for c in chains]) / video.clock.fps:.1f} s"
    )
    print("| association | ids | the same after 0.5 s | after 0.8 s |")
    print("|---|---:|---:|---:|")
    for name, ids_of in ways.items():
        ids = ids_of(video)
        cells = [f"{len(np.unique(ids[ids != NO_TRACK]))}"]
        for seconds in (0.5, 0.8):
            length = round(seconds * video.clock.fps)
            gaps = [(len(c) - length) // 2 for c in chains]
            hidden = np.concatenate([c[g : g + length] for c, g in zip(chains, gaps, strict=True)])
            keep = np.ones(len(video), dtype=bool)
            keep[hidden] = False
            ids = np.full(len(video), NO_TRACK)
            ids[keep] = ids_of(replaced(video, keep))
            same = [
                ids[c[g - 1]] != NO_TRACK and ids[c[g - 1]] == ids[c[g + length + 2]]
                for c, g in zip(chains, gaps, strict=True)
            ]
            cells.append(f"{sum(same)} of {len(same)}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def replaced(video: VideoDetections, keep: np.ndarray) -> VideoDetections:
    """Only the boxes of `keep` (M,)."""
    return VideoDetections(
        video.name,
        video.frames[keep],
        video.boxes[keep],
        video.objectness[keep],
        video.scores[keep],
        video.processed,
        video.clock,
    )


def by_ultralytics(kind: str, max_gap: float) -> Callable[[VideoDetections], np.ndarray]:
    """(M,) ids of merged detections by one of ultralytics' trackers with its own settings, but for
    the frames that an id waits."""
    from stadet.detect.yolo.ultralytics_body import keep_offline

    keep_offline()
    from ultralytics.cfg import get_cfg  # noqa: F401  # sets up their logger
    from ultralytics.engine.results import Boxes
    from ultralytics.trackers.track import TRACKER_MAP
    from ultralytics.utils import ROOT, YAML, IterableSimpleNamespace

    def ids_of(video: VideoDetections) -> np.ndarray:
        options = YAML.load(ROOT / "cfg" / "trackers" / f"{kind}.yaml")
        options.update(track_buffer=round(max_gap * video.clock.fps), gmc_method="none")
        tracker = TRACKER_MAP[kind](IterableSimpleNamespace(**options))
        ids = np.full(len(video), NO_TRACK)
        for frame in range(int(video.processed[-1, 1]) + 1):
            first, stop = np.searchsorted(video.frames, [frame, frame + 1])
            rows = np.concatenate(
                [video.boxes[first:stop], video.scores[first:stop], np.zeros((stop - first, 1))], 1
            )
            found = tracker.update(Boxes(rows.astype(np.float32), video_size(video)))
            if len(found):
                ids[first + found[:, 7].astype(int)] = found[:, 4].astype(int)
        return ids

    return ids_of


def video_size(video: VideoDetections) -> tuple[int, int]:
    """Any size that holds all boxes."""
    right, bottom = video.boxes[:, 2:].max(axis=0, initial=1)
    return int(np.ceil(bottom)), int(np.ceil(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ucf24", type=Path, help="pyannot.pkl, with testlist01.txt beside it")
    parser.add_argument("--videos", type=int, default=60, help="of UCF101-24 (60)")
    parser.add_argument("--restaurant", type=float, help="minutes of generated footage")
    parser.add_argument("--video", type=Path, help="real footage of a camera that stands still")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between occlusions (3)")
    parser.add_argument("--max-gap", type=float, default=1.0, help="seconds that an id waits (1)")
    parser.add_argument("--step", type=int, default=1, help="of the frames, every n-th (1)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    ways: dict[str, Callable[[VideoDetections], np.ndarray]] = {
        method: lambda video, method=method: (
            find_actors(video, ActorOptions(method=method, max_gap=args.max_gap)).actor_ids
        )
        for method in METHODS
    }
    if importlib.util.find_spec("lap"):
        for kind in ("bytetrack", "botsort", "ocsort"):
            ways[f"ultralytics {kind}"] = by_ultralytics(kind, args.max_gap)
    if args.video:
        tell_survival(args.video, ways)
        return
    if args.ucf24:
        videos = list(ucf24_videos(args.ucf24, args.videos))
    else:
        videos = list(restaurant_videos(args.restaurant or 5, args.seed))
    if args.step > 1:
        videos = [every_nth(video, args.step) for video in videos]
    rng = np.random.default_rng(args.seed)
    found = [merged(detected(video, args.every, rng)) for video in videos]
    print(
        f"{platform.machine()}, seed {args.seed}: {len(videos)} videos, "
        f"{sum(v.num_frames for v in videos):,} frames, {sum(len(v.frames) for v in videos):,} "
        f"truth boxes of {sum(len(np.unique(v.track_ids)) for v in videos):,} actors, "
        f"{sum(map(len, found)):,} merged detections"
    )
    print("| association | HOTA | DetA | AssA | IDF1 | ids | ms a frame |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, ids_of in ways.items():
        metric, took = TrackingMetric(), 0.0
        for video, boxes in zip(videos, found, strict=True):
            start = time.process_time()
            ids = ids_of(boxes)
            took += time.process_time() - start
            has = ids != NO_TRACK
            metric.update(
                Trajectories(video.frames, video.track_ids, video.boxes),
                Trajectories(boxes.frames[has], ids[has], boxes.boxes[has]),
            )
        result = metric.compute()
        figures = (result.hota, result.det_a, result.ass_a, result.idf1)
        print(
            f"| {name} | "
            + " | ".join(f"{100 * value:.1f}" for value in figures)
            + f" | {result.ids:,} | {1000 * took / sum(v.num_frames for v in videos):.2f} |",
            flush=True,
        )


def every_nth(video: VideoAnnotations, step: int) -> VideoAnnotations:
    """The same video at a lower rate."""
    keep = video.frames % step == 0
    return VideoAnnotations.build(
        video.name,
        video.size,
        video.fps / step,
        video.looked_at[::step],
        video.frames[keep] // step,
        video.boxes[keep],
        video.labels[keep],
        video.track_ids[keep],
    )


if __name__ == "__main__":
    main()
