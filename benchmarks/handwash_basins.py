"""Hand-wash steps over basins that training has not seen: configs/handwash.yaml by its length.

Trains on the recordings over the steel sink and judges the last weights on those over other basins
(009 and 010 white, 017 black). The same command continues where it was stopped.

    OMP_NUM_THREADS=1 python benchmarks/handwash_basins.py --data HandWash --out runs/basins \\
        --epochs 10 20 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stadet.datasets.labelled.folders import read_handwash
from stadet.tools.classification.cross_validation import judge_last
from stadet.tools.classification.run_table import PlannedRun, run_all, text_table

OTHER_BASINS = ("009", "010", "017")


def main() -> None:
    args = _parse()
    out = args.out.resolve()
    arrange(args.data.resolve(), out / "videos")
    plans = [
        PlannedRun(
            f"epochs{epochs}_seed{seed}",
            {"epochs": epochs, "seed": seed},
            (f"loop.epochs={epochs}", f"loop.validate_every={epochs}", f"seed={seed}"),
        )
        for epochs in args.epochs
        for seed in args.seeds
    ]
    settings = [f"data.root={out / 'videos'}", f"input.cache={out / 'cache'}", *args.set]
    rows = run_all(plans, "handwash", settings, out, judge_last)
    if rows is not None:
        print(text_table(rows, ["epochs", "seed", "videos", "right", "top1", "loss", "seconds"]))


def arrange(data: Path, folder: Path) -> None:
    """Links to the videos, those over other basins on the validation side."""
    for video in read_handwash(data).items:
        side = "val" if video.group in OTHER_BASINS else "train"
        place = folder / side / video.path.parent.name / video.path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(video.path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train, val, ..")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="further settings")
    return parser.parse_args()


if __name__ == "__main__":
    main()
