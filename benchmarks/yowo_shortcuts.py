"""Accuracy lost by YOWO's faster and longer clips: the 3D branch on every k-th frame only, and
the feature bank, against the plain detector on the same videos.

    OMP_NUM_THREADS=1 python benchmarks/yowo_shortcuts.py --checkpoint runs/yowo_small/best.pt \\
        --data data/unseen/dataset.yaml --videos data/unseen/videos --out runs/shortcuts

With footage of `stad make-footage`, the reversed pairs are listed separately. Frames a second are
those of `stad predict`, start and decoding of the videos included. A detector of frames that lie
apart (yowo.clip_step) has no feature bank.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from experiment import stad

from stadet.detect.detections.reader import read_detections
from stadet.tools.inference.detectors import open_detector

VARIANTS = {
    "plain": [],
    "every 2": ["--temporal-every", "2"],
    "every 4": ["--temporal-every", "4"],
    "every 8": ["--temporal-every", "8"],
    "feature bank": ["--feature-bank"],
}


def judge(args: argparse.Namespace, name: str, options: list[str]) -> dict[str, float]:
    out = args.out.resolve()
    file, log = out / f"{name.replace(' ', '_')}.jsonl", out / "log.txt"
    file.unlink(missing_ok=True)
    begun = time.monotonic()
    checkpoint = args.checkpoint.resolve()
    stad(
        "predict",
        "--for-evaluation",
        args.videos.resolve(),
        "--checkpoint",
        checkpoint,
        "--out",
        file,
        "--window",
        "8",
        *options,
        log=log,
    )
    seconds = time.monotonic() - begun
    report = file.with_suffix("")
    stad(
        "evaluate",
        "--data",
        args.data.resolve(),
        "--detections",
        file,
        "--out",
        report,
        "--bootstrap",
        "0",
        "--gallery",
        "0",
        log=log,
    )
    numbers = json.loads((report / "metrics.json").read_text())
    row = {"frame-mAP@0.5": numbers["frame_map_50"]}
    facts = args.data.resolve().parent / "restaurant.json"
    if facts.exists():
        told = set(json.loads(facts.read_text())["told_by_one_frame"])
        ap = {label: values["ap_50"] for label, values in numbers["per_class"].items()}
        pairs = [value for label, value in ap.items() if label not in told]
        row["reversed pairs"] = sum(pairs) / len(pairs)
    row["localization recall"] = numbers["localization_recall"]
    row["classification accuracy"] = numbers["classification_accuracy"]
    found = read_detections(file)
    frames = sum(int((last - first + 1).sum()) for first, last in (v.processed.T for v in found))
    return {**row, "frames/s": frames / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True)
    add("--data", type=Path, required=True, help="the data set file with the truth")
    add("--videos", type=Path, required=True)
    add("--out", type=Path, required=True)
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    variants = list(args.variants)
    if open_detector(args.checkpoint).model.clip_step != 1 and "feature bank" in variants:
        variants.remove("feature bank")
        print("no feature bank: the detector's clips are not of consecutive frames")
    for number, name in enumerate(variants):
        row = judge(args, name, VARIANTS[name])
        if not number:
            print("| | " + " | ".join(row) + " |\n|---" + "|---" * len(row) + "|")
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |")


if __name__ == "__main__":
    main()
