"""Generate annotated restaurant footage: videos, CVAT annotations and a data set file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "generate annotated restaurant footage"

EXAMPLES = """\
examples:
  stad make-footage --out data/restaurant
  stad make-footage --out data/small --minutes 4 --size 128 224 --hand-scale 2
  stad make-footage --out data/many --minutes 60 --scenes 12 --classes 40 --hand-scale 1
  stad make-footage --out data/hurried --imperfect
  stad make-footage --out data/bins --names "pick up from bin using hands" "operating POS"

DIR holds videos/*.mp4 (H.264), annotations/*.xml (CVAT for video 1.1), dataset.yaml (for --data)
and restaurant.json: which classes one frame can tell, which pairs are exact time reversals, and
where a carrying hand rests. The same seed gives the same pictures and annotations.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("make-footage", SUMMARY, EXAMPLES)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace footage in DIR")
    parser.add_argument("--workers", type=int, help="scenes filmed at once (default: the cores)")
    parser.add_argument("--minutes", type=float, help="time filmed in all (default 4)")
    parser.add_argument("--scenes", type=int, help="recordings it is cut into (default 4)")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default 288 512"
    )
    parser.add_argument("--fps", type=float, help="frames a second (default 15)")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="the N most frequent of 40 (default 8)"
    )
    parser.add_argument(
        "--names", nargs="+", metavar="CLASS", help="these classes instead, equally frequent"
    )
    parser.add_argument("--views", type=int, choices=(1, 2), help="cameras (default 2)")
    parser.add_argument("--seed", type=int, help="default 0")
    group = parser.add_argument_group("difficulty")
    group.add_argument("--hand-scale", type=float, help="1 = small hands (default 1.6)")
    group.add_argument("--pace", type=float, help="heights a second of a carry (default 0.65)")
    group.add_argument(
        "--span",
        choices=("carry", "whole"),
        help="annotate reversible actions while the item is in hand (default) or all along",
    )
    group.add_argument("--still-share", type=float, help="actions with a stop (default 0.5)")
    group.add_argument(
        "--still-frames", type=int, nargs=2, metavar=("LEAST", "MOST"), help="default 8 16"
    )
    group.add_argument("--action-share", type=float, help="frames with an action (default 0.5)")
    group.add_argument("--together", type=float, help="chance of two actions (default 0.2)")
    group.add_argument("--distraction", type=float, help="chance of an idle hand (default 0.3)")
    group.add_argument("--unseen-share", type=float, help="time nobody annotated (default 0.05)")
    group.add_argument("--tail", type=float, help="Zipf exponent (default 0, above 8 classes 1)")
    group.add_argument("--variety", type=float, help="0 = one counter for all (default 0.5)")
    group.add_argument("--drift", type=float, help="changes of light (default 0.06)")
    group.add_argument("--noise", type=float, help="sensor noise, 0 to 255 (default 3)")
    faults = parser.add_argument_group("imperfect annotation")
    faults.add_argument(
        "--imperfect", action="store_true", help="faulty annotations, and the truth as well"
    )
    faults.add_argument("--box-jitter", type=float, help="share of the box (default 0.05)")
    faults.add_argument("--onset-shift", type=float, help="seconds (default 0.15)")
    faults.add_argument("--wrong-labels", type=float, help="share of actions (default 0.04)")
    return parser


def run(args: argparse.Namespace) -> int | None:
    from stadet.datasets.restaurant import FootageConfig
    from stadet.datasets.restaurant.files import write_footage

    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(args).items()
        if name not in ("out", "overwrite", "workers") and value is not None
    }
    config = FootageConfig(**given)
    path = write_footage(args.out, config, overwrite=args.overwrite, workers=args.workers)
    videos = config.scenes * config.views
    seconds = config.frames_per_scene / config.fps
    print(f"{videos} videos of {seconds:.0f} s and their annotations; the data set: {path}")
    return None


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
