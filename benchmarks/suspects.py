"""Precision of `stad describe --suspects` at the number of planted faults, by kind.

    python benchmarks/held_out_folds.py --out runs/faulty --minutes 10 --scenes 10 --seed 1
    python benchmarks/suspects.py --folds runs/faulty --model recurrent

Of each kind as many suspects are taken, the most suspect first, as faults of the kind were
planted; a suspect is right where a fault of its kind that no better one found lies on its frames,
and its box meets the fault's or its track is the fault's. "any" counts a suspect as right for a
fault of any kind; "all kinds" takes the joint ranking at the number of all faults. "chance" is the
share of tracks with such a fault: what the same number of tracks drawn blindly would reach.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
from planted_faults import Fault

from stadet.datasets.formats.coco_video import read_coco_video
from stadet.detect.boxes import rowwise_iou
from stadet.detect.detections.reader import read_detections
from stadet.detect.suspects.suspect import KINDS, Suspect, find_suspects
from stadet.detect.suspects.tracks import runs_of

SLACK = 3  # frames by which a suspect may miss a fault's frames


def hits(suspect: Suspect, fault: Fault, any_kind: bool = False) -> bool:
    """Is this suspect that fault?"""
    if suspect.video != fault.video or not (any_kind or suspect.kind == fault.kind):
        return False
    if suspect.first > fault.last + SLACK or fault.first > suspect.last + SLACK:
        return False
    if fault.kind == "duplicate" and suspect.kind == "duplicate":
        return f"track {fault.track} " in suspect.suggestion or suspect.track == fault.track
    if fault.track >= 0 and suspect.track >= 0:
        return suspect.track == fault.track
    return bool(rowwise_iou(np.array(suspect.box), np.array(fault.box)) > 0.1)


def right(suspects: list[Suspect], faults: list[Fault], any_kind: bool = False) -> int:
    """How many of the suspects find a fault that none before found."""
    left, count = list(faults), 0
    for suspect in suspects:
        fault = next((f for f in left if hits(suspect, f, any_kind)), None)
        if fault is not None:
            left.remove(fault)
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=Path, nargs="+", required=True)
    parser.add_argument("--model", choices=("frame", "recurrent", "none"), default="recurrent")
    args = parser.parse_args()
    print(f"{platform.machine()}, numpy {np.__version__}, detections of {args.model}")
    suspects: list[Suspect] = []
    faults: list[Fault] = []
    tracks = 0
    for number, folder in enumerate(args.folds):
        truth = read_coco_video(folder / "footage" / "faulty.json")
        found = None
        if args.model != "none":
            found = read_detections(folder / f"{args.model}.jsonl", truth)
        planted = [Fault(**row) for row in json.loads((folder / "faults.json").read_text())]
        rename = f"{number}:"
        suspects += [
            Suspect(**{**s.as_dict(), "video": rename + s.video})
            for s in find_suspects(truth, found)
        ]
        faults += [Fault(**{**f.as_dict(), "video": rename + f.video}) for f in planted]
        tracks += sum(len(runs_of(video)) for video in truth)
    suspects.sort(key=lambda s: -s.score)
    print(f"{tracks} tracks, {len(faults)} faults, {len(suspects)} suspects")
    head = f"{'kind':<12} {'planted':>7} {'precision':>9} {'any':>5} {'chance':>7} {'at half':>8}"
    print(f"{head} {'recall of twice as many':>24}")
    for kind in KINDS:
        own = [f for f in faults if f.kind == kind]
        ranked = [s for s in suspects if s.kind == kind]
        if not own:
            continue
        n, half = len(own), max(1, len(own) // 2)
        print(
            f"{kind:<12} {n:>7} {right(ranked[:n], own) / n:>9.2f} "
            f"{sum(any(hits(s, f, True) for f in faults) for s in ranked[:n]) / n:>5.2f} "
            f"{n / tracks:>7.2f} {right(ranked[:half], own) / half:>8.2f} "
            f"{right(ranked[: 2 * n], own) / n:>24.2f}"
        )
    n = len(faults)
    some = sum(any(hits(s, f, True) for f in faults) for s in suspects[:n]) / n
    print(f"{'all kinds':<12} {n:>7} {right(suspects[:n], faults, True) / n:>9.2f} {some:>5.2f}")


if __name__ == "__main__":
    main()
