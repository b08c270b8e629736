"""A real hand takes bottles and puts them back: what memory tells, both ways and over seeds.

Trains on one half of a video whose actions only time tells apart (`bottle-detection.mp4`) and
judges every frame of the other half, then the other way round: `stad train --auto` for each seed,
and with `--others`, of the first seed, the same on MobileNetV2 from ImageNet weights and a small
YOWO. The same command continues where it was stopped.

    python benchmarks/real_pair.py --data take_put_real --out runs/real_pair --seeds 0 1 2 \\
        --others --weights mobilenet_v2-b0353104.pth --jobs 10
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml
from experiment import stad, train

from stadet.datasets.dataset import load_dataset
from stadet.detect.boxes import pairwise_iou
from stadet.detect.detections.reader import read_detections
from stadet.detect.structures import AnnotationSet

HALVES = ("first", "second")  # of the video, trained on
DATASET = {
    "path": ".",
    "format": "cvat",
    "videos": "videos",
    "annotations": "annotations",
    "names": ["take bottle", "put back bottle"],
    "looked_at": "all",
    "reverses": {"take bottle": "put back bottle"},
}
YOWO = [
    "yowo.stride=16",
    "yowo.clip_step=4",  # eight frames of a second
    "loop.max_steps=1500",
    "data.workers=1",
]


def main() -> None:
    args = _parse()
    args.out = args.out.resolve()
    data = {half: prepare(args.data, args.out / half, half) for half in HALVES}
    chains = [("auto", half, seed) for seed in args.seeds for half in HALVES]
    if args.others:
        chains += [(name, half, args.seeds[0]) for name in ("mobilenet", "yowo") for half in HALVES]
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = list(pool.map(lambda chain: learn(*chain, data, args), chains))
    if args.train_only:
        return
    rows = []
    for (name, half, seed), folders in zip(chains, runs, strict=True):
        for model, run in folders.items():
            told = {"chain": name, "model": model, "trained on": half, "seed": seed}
            rows.append({**told, **judge(run, data[half])})
            print(json.dumps(rows[-1]), flush=True)
    (args.out / "results.json").write_text(json.dumps(rows, indent=1))


def prepare(source: Path, folder: Path, half: str) -> Path:
    """The video with the data set file that trains on this half."""
    file = folder / "dataset.yaml"
    if not file.exists():
        for name in ("videos", "annotations"):
            shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
    seed = 0
    while True:
        split = {"method": "blocks", "block_seconds": 20.1, "val": 0.5, "test": 0.0, "seed": seed}
        file.write_text(yaml.safe_dump({**DATASET, "split": split}, sort_keys=False))
        (video,) = load_dataset(file).side("train")
        if bool(video.looked_at[0]) == (half == "first"):
            return file
        seed += 1


def learn(
    name: str, half: str, seed: int, data: dict[str, Path], args: argparse.Namespace
) -> dict[str, Path]:
    """Run folders by model."""
    out = args.out / "runs" / f"{name}_{half}_{seed}"
    if name == "yowo":
        train(Path("yowo_small_cpu"), out, seed, data[half].parent, YOWO)
        return {"yowo": out}
    out.parent.mkdir(parents=True, exist_ok=True)
    overrides = [f"seed={seed}", *args.set]
    if name == "mobilenet":
        overrides += ["yolo.network=backbone", "yolo.backbone=mobilenet_v2"]
        overrides += [f"yolo.backbone_weights={args.weights.resolve()}"]
    stad("train", "--auto", data[half], f"output={out}", *overrides, log=out.with_suffix(".log"))
    return {"frame": out / "frame", "recurrent": out / "recurrent"}


def judge(run: Path, data: Path) -> dict:
    """Figures of a run's best checkpoint on every frame of the other half."""
    report = run / "judged"
    if not (report / "metrics.json").exists():
        judged = ["--checkpoint", run / "best.pt", "--data", data, "--side", "val"]
        plain = ["--bootstrap", "0", "--gallery", "0"]
        stad("evaluate", *judged, *plain, "--out", report, log=run.with_suffix(".log"))
    numbers = json.loads((report / "metrics.json").read_text())
    (pair,) = numbers["direction"]["everywhere"]
    shares = list(event_shares(load_dataset(data).side("val"), report / "detections.jsonl"))
    return {
        "map_50": numbers["frame_map_50"],
        "direction": pair["accuracy"],
        "events": sum(share > 0.5 for share in shares),
        "of": len(shares),
        "shares": [round(share, 2) for share in shares],
    }


def event_shares(side: AnnotationSet, detections: Path) -> Iterator[float]:
    """Of the found boxes of each event (a track's run of one label), the share told rightly."""
    (truth,) = side
    found = read_detections(detections, side).videos[truth.name]
    labels = truth.labels.argmax(axis=1)
    for track in np.unique(truth.track_ids):
        rows = np.flatnonzero(truth.track_ids == track)
        for event in np.split(rows, np.flatnonzero(np.diff(labels[rows])) + 1):
            right = []
            for row in event:
                near = found.frames == truth.frames[row]
                iou = pairwise_iou(truth.boxes[row : row + 1], found.boxes[near])[0]
                scores = found.scores[near][iou >= 0.5]
                if len(scores):
                    best = scores.max(axis=0)
                    right.append(best[labels[row]] > best[1 - labels[row]])
            yield float(np.mean(right)) if right else 0.0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with videos, annotations")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--others", action="store_true", help="MobileNetV2 and YOWO, too")
    parser.add_argument("--weights", type=Path, help="MobileNetV2's ImageNet weights")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument(
        "--train-only", action="store_true", help="judge later, by the same command"
    )
    parser.add_argument("--set", nargs="*", default=[], help="settings of every training by --auto")
    args = parser.parse_args()
    if args.others and args.weights is None:
        parser.error("--others needs --weights")
    return args


if __name__ == "__main__":
    main()
