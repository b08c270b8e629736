"""Contribution of each part of configs/handwash.yaml on one fold: the table of docs/handwash.md.

    OMP_NUM_THREADS=1 python benchmarks/handwash_ablation.py configs/handwash.yaml \\
        data.root=HandWash --out runs/ablation

Further overrides (data.folds, data.fold, seed) choose another fold. The same command continues
where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stadet.tools.classification.cross_validation import judge_last
from stadet.tools.classification.run_table import PlannedRun, run_all, text_table

# the recipe before it was grey
COLOURED = (
    "model.options={}",
    "augment.colour=0.8",
    "augment.contrast=0.3",
    "augment.hue=12",
    "augment.saturation=60",
    "loop.epochs=10",
)
# while the recipe was being found: two differences a clip, 8 epochs, 8 clips averaged
EARLY = (
    *COLOURED,
    "sampling.frames=3",
    "loop.epochs=8",
    "loop.validate_every=8",
    "sampling.test_clips=8",
)
MOTION_ONLY = "model.options={colour: false}"
RUNS = {
    "colour only": (*EARLY, "model.options={colour: true, motion: false}"),
    "colour and motion": (*EARLY, "model.options={colour: true}"),
    "likewise, without mirroring": (*EARLY, "model.options={colour: true}", "augment.flip=0"),
    "likewise, without zoom and stretch": (
        *EARLY,
        "model.options={colour: true}",
        "augment.zoom=[1,1]",
        "augment.aspect=0",
    ),
    "motion only": (*EARLY, MOTION_ONLY),
    "likewise, frames eight apart": (*EARLY, MOTION_ONLY, "sampling.step=8"),
    "likewise, stronger jitter and zoom": (
        *EARLY,
        MOTION_ONLY,
        "augment.brightness=0.5",
        "augment.contrast=0.5",
        "augment.hue=30",
        "augment.saturation=100",
        "augment.zoom=[0.8,1.8]",
    ),
    "coloured recipe": COLOURED,
    "coloured, the same pair each time": (*COLOURED, "sampling.jitter=false"),
    "coloured, one frame from each half": (*COLOURED, "sampling.policy=uniform-frames"),
    "final recipe": (),
    "resnet3d": (
        *COLOURED,
        "model.name=resnet3d",
        "model.options={width: 0.25, dropout: 0.3}",
        "sampling.frames=8",
        "sampling.policy=uniform-frames",
        "sampling.test_clips=3",
        "loop.epochs=6",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="a configuration file, then overrides")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), metavar="RUN")
    args = parser.parse_args()
    settings = list(args.settings)
    file = settings.pop(0) if settings and "=" not in settings[0] else None
    settings = ["data.folds=5", "data.fold=0", *settings]
    plans = [PlannedRun(name.replace(" ", "_"), {"run": name}, RUNS[name]) for name in args.runs]
    rows = run_all(plans, file, settings, Path(args.out), judge_last)
    if rows is not None:
        print(text_table(rows, ["run", "top1", "loss", "seconds"]))


if __name__ == "__main__":
    main()
