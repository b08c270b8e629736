"""stad make-clips: long videos and their annotations to short clips in folders by action."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.datasets.clip_export import ExportClip
    from stadet.datasets.dataset import Dataset
    from stadet.recurrent_yolo.sequences import SequenceConfig

SUMMARY = "cut long videos to short clips in folders by action label"
EXAMPLES = """\
examples:
  stad make-clips --data kitchen/dataset.yaml --out kitchen_clips
  stad make-clips --data kitchen/dataset.yaml --out kitchen_yowo --layout yowo
  stad make-clips --data kitchen/dataset.yaml --out short --pad 0.5 --longest 4 --side train

A clip is a stretch of one action with some footage around it, within one side of the data set's
split. A stretch of two actions gives a clip in each of their folders. Label files hold every box of
a clip's frames, of whatever class.

folders: DIR/<side>/<Class>/<clip>.mp4, for `stad train-classifier` (data.format=folders), with
annotations.json and dataset.yaml, for `stad train`.
yowo: DIR/rgb-images/<Class>/<clip>/00001.jpg of 320x240 pixels, labels/, trainlist.txt,
testlist.txt and testlist_video.txt, for YOWO's public code, and dataset.yaml.
"""
YOWO_SIZE = (240, 320)  # (height, width) that the public code takes for granted


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("make-clips", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="data set file")
    add("--out", type=Path, required=True, metavar="DIR", help="new folder to write")
    add("--layout", choices=("folders", "yowo"), default="folders", help="default: folders")
    add("--side", choices=("train", "val", "test"), help="only this side (default: all)")
    add("--classes", nargs="+", metavar="NAME", help="only clips of these (default: all)")
    add(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="stretch frames to it (default: the video's; yowo: 240 320)",
    )
    seconds = parser.add_argument_group("lengths in seconds")
    seconds.add_argument("--pad", type=float, default=0.5, help="around an action (default 0.5)")
    seconds.add_argument("--merge", type=float, default=0.5, help="break bridged (default 0.5)")
    seconds.add_argument("--shortest", type=float, default=1.0, help="of a clip (default 1)")
    seconds.add_argument("--longest", type=float, default=10.0, help="of a clip (default 10)")
    return parser


def run(args: argparse.Namespace) -> int | None:
    import yaml

    from stadet.datasets.clip_export import write_clips
    from stadet.datasets.dataset import load_dataset
    from stadet.engine.errors import UserError
    from stadet.engine.files import atomic_directory, atomic_write
    from stadet.engine.progress import progress_bar
    from stadet.recurrent_yolo.sequences import SequenceConfig

    if args.size and min(args.size) < 1:
        raise UserError(f"--size: expected a height and a width of at least 1, found {args.size}")
    lengths = SequenceConfig(args.pad, args.merge, args.shortest, args.longest, overlap=0.0)
    dataset = load_dataset(args.data)
    dataset.findings.report()
    clips, empty = plan_clips(dataset, lengths, [args.side] if args.side else None, args.classes)
    if empty:
        print(
            f"{empty} clips left out that lie in the padding of their action alone; make --longest "
            "longer or --pad shorter to have none"
        )
    size = tuple(args.size) if args.size else (YOWO_SIZE if args.layout == "yowo" else None)
    bar = progress_bar(description="clips", total=len(clips), unit="clip")
    with atomic_directory(args.out) as root, bar:
        keys = write_clips(
            root,
            clips,
            dataset.annotations,
            dataset.open_video,
            layout=args.layout,
            size=size,
            watch=lambda clip: bar.update(),
        )
        for key in ("reverses", "flip_labels"):
            if pairs := getattr(dataset.config, key):
                keys[key] = dict(pairs)
        with atomic_write(root / "dataset.yaml") as stream:
            yaml.safe_dump(keys, stream, sort_keys=False, allow_unicode=True, width=96)
    frames = sum(map(len, clips))
    classes = len({clip.label for clip in clips})
    print(f"{args.out}: {len(clips)} clips of {classes} classes, {frames} frames")
    return None


def plan_clips(
    dataset: Dataset,
    lengths: SequenceConfig,
    sides: list[str] | None = None,
    classes: list[str] | None = None,
) -> tuple[list[ExportClip], int]:
    """The clips of every side and class, by video and time, and how many were left out because
    none of their frames has the action: pieces of its padding. UserError where there is none, and
    for unknown classes."""
    import numpy as np

    from stadet.datasets.clip_export import ExportClip
    from stadet.engine.errors import UserError, neighbours
    from stadet.recurrent_yolo.sequences import action_sequences

    for name in classes or ():
        if name not in dataset.names:
            raise UserError(f"--classes: no class {name!r}{neighbours(name, dataset.names)}")
    clips, empty = [], 0
    for side in sides or list(dataset.split.masks):
        for video in dataset.side(side).objects():
            for column, label in enumerate(dataset.names):
                if classes and label not in classes:
                    continue
                has_action = np.zeros(video.num_frames, dtype=bool)
                has_action[video.frames[video.labels[:, column]]] = True
                spans = action_sequences(has_action, video.looked_at, video.clock, lengths)
                full = [(a, b) for a, b in spans if has_action[a:b].any()]
                clips += [ExportClip(video.name, a, b, label, side) for a, b in full]
                empty += len(spans) - len(full)
    if not clips:
        raise UserError(f"{dataset.path}: expected frames with an action to cut out, found none")
    return sorted(clips, key=lambda clip: (clip.video, clip.start, clip.stop, clip.label)), empty


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
