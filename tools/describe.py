"""What a data set holds: counts, sizes, durations, views, reversed pairs, drawn sample frames."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.datasets.dataset import Dataset
    from stadet.datasets.statistics import Statistics

SUMMARY = "what a data set holds: classes, sizes, durations, sample frames"

EXAMPLES = """\
examples:
  stad describe --data data/restaurant/dataset.yaml
  stad describe --data data/restaurant --size 288 512 --out described
  stad describe --data data/restaurant --side val

With --out, DIR gets describe.txt, describe.json and samples.png.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("describe", SUMMARY, EXAMPLES)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="data set file, or its folder"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="give box sizes in pixels of a network of this size (default: the video's)",
    )
    parser.add_argument(
        "--letterbox", action="store_true", help="with --size: keep the proportions, pad with grey"
    )
    parser.add_argument("--side", choices=("train", "val", "test"), help="only this side")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files")
    parser.add_argument("--samples", type=int, default=20, help="frames to draw (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="which frames (default 0)")
    return parser


def run(args: argparse.Namespace) -> int | None:
    from stadet.datasets.dataset import load_dataset
    from stadet.datasets.statistics import measure
    from stadet.engine.errors import UserError

    if args.size is not None and min(args.size) < 1:
        raise UserError(f"--size: expected a height and a width above 0, found {args.size}")
    if args.samples < 0:
        raise UserError(f"--samples: expected 0 or more, found {args.samples}")
    dataset = load_dataset(args.data)
    dataset.findings.report()
    annotations = dataset.side(args.side) if args.side else dataset.annotations
    size = tuple(args.size) if args.size else None
    statistics = measure(annotations, size, letterbox=args.letterbox)
    sides = {side: _count(dataset, side) for side in dataset.split.masks}
    text = "\n".join([*_lines(dataset, statistics, args.side), *_sides(dataset, sides)])
    print(text)
    if args.out is not None:
        _write(args, dataset, statistics, sides, text, annotations)
    return None


def _count(dataset: Dataset, side: str) -> dict[str, int]:
    annotations = dataset.side(side)
    return {
        "frames": sum(int(v.looked_at.sum()) for v in annotations),
        "boxes": sum(len(v.boxes) for v in annotations),
    }


def _lines(dataset: Dataset, s: Statistics, side: str | None) -> Iterator[str]:
    sizes = ", ".join(f"{width}x{height}" for height, width in s.sizes[:4])
    rates = ", ".join(f"{rate:g}" for rate in s.rates[:4])
    varies = f", {s.variable_rates} of variable rate" if s.variable_rates else ""
    yield f"{dataset.path}{f' ({side} side)' if side else ''}"
    yield (
        f"{s.videos} videos ({sizes} at {rates} fps{varies}), {s.frames} frames, "
        f"{s.looked_at} looked at"
    )
    share = s.share_without_action
    if share is not None:
        yield (
            f"{s.seconds / 60:.1f} minutes looked at; {100 * share:.1f} % of the looked-at frames "
            "without action"
        )
    yield (
        f"{s.boxes} boxes in {s.tracks} tracks, {s.boxes_of_several_classes} of several classes"
        + (f"; most to least frequent class {s.imbalance:.1f} : 1" if s.imbalance else "")
    )
    yield ""
    yield from _table(s)
    for pair in sorted({tuple(sorted(pair)) for pair in dataset.reverses.items()}):
        yield f"Reverses of each other: {pair[0]} | {pair[1]}"
    for pair in sorted({tuple(sorted(pair)) for pair in dataset.flip_labels.items()}):
        yield f"Swap under a flip: {pair[0]} | {pair[1]}"
    for name, members in dataset.views.items():
        yield f"The same time in {name}: {', '.join(members)}"
    yield from _facts(dataset)


def _table(s: Statistics) -> Iterator[str]:
    width = max([len("class"), *(len(c.name) for c in s.classes)])
    where = "network" if s.network_size else "video"
    yield (
        f"{'class':<{width}}  {'clips':>6} {'boxes':>7} {'frames':>7}  "
        f"{'seconds: least, median, most':>28}  median box ({where} px)"
    )
    for c in sorted(s.classes, key=lambda c: -c.boxes):
        seconds = "-"
        if c.seconds:
            seconds = f"{c.seconds[0]:.2f}, {c.seconds[2]:.2f}, {c.seconds[-1]:.2f}"
        box = f"{c.width[2]:.0f} x {c.height[2]:.0f}" if c.width and c.height else "-"
        yield f"{c.name:<{width}}  {c.clips:>6} {c.boxes:>7} {c.frames:>7}  {seconds:>28}  {box}"
    yield ""


def _facts(dataset: Dataset) -> Iterator[str]:
    """What generated footage knows of itself."""
    path = dataset.path.parent / "restaurant.json"
    if not path.is_file():
        return
    from stadet.datasets.restaurant.facts import read_facts

    facts = read_facts(path)
    yield "Generated footage (restaurant.json):"
    yield f"  Classes that one frame can tell: {', '.join(facts.told_by_one_frame) or 'none'}"
    pairs = "; ".join(f"{one} | {other}" for one, other in facts.reversed_pairs)
    yield f"  Pairs that are exact time reversals: {pairs or 'none'}"
    stops = [stop for rows in facts.stops.values() for stop in rows]
    if stops:
        lengths = [stop.last - stop.first + 1 for stop in stops]
        labels = ", ".join(sorted({stop.label for stop in stops}))
        yield (
            f"  The carrying hand stands still in {len(stops)} actions for {min(lengths)} to "
            f"{max(lengths)} frames, where only memory tells: {labels}"
        )


def _sides(dataset: Dataset, sides: dict[str, dict[str, int]]) -> Iterator[str]:
    split = dataset.config.split
    parts = [f"{side} {n['frames']} frames, {n['boxes']} boxes" for side, n in sides.items()]
    yield f"Split by {split.method}, {dataset.split.digest}: {'; '.join(parts)}"


def _write(
    args: argparse.Namespace,
    dataset: Dataset,
    statistics: Statistics,
    sides: dict[str, dict[str, int]],
    text: str,
    annotations,
) -> None:
    import json
    from dataclasses import asdict

    import cv2

    from stadet.datasets.contact_sheet import choose_frames, draw_sheet
    from stadet.engine.files import atomic_path, atomic_write

    with atomic_write(args.out / "describe.txt") as stream:
        stream.write(text + "\n")
    content = {
        **asdict(statistics),
        "share_without_action": statistics.share_without_action,
        "views": dict(dataset.views),
        "reverses": dict(dataset.reverses),
        "flip_labels": dict(dataset.flip_labels),
        "split": {"digest": dataset.split.digest, "sides": sides},
        "findings": dataset.findings.lines(),
    }
    with atomic_write(args.out / "describe.json") as stream:
        json.dump(content, stream, indent=1)
    frames = choose_frames(annotations, args.samples, args.seed)
    if frames:
        with atomic_path(args.out / "samples.png") as temporary:
            cv2.imwrite(str(temporary), draw_sheet(dataset, frames)[..., ::-1])
    print(f"written: {args.out}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
