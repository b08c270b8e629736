"""stad demo: the whole route on generated footage, to a report and a boxed video."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "the whole route on generated footage, on the CPU, in minutes"
EXAMPLES = """\
examples:
  stad demo
  stad demo --out demo3 --seed 3
  stad demo --minutes 2 --steps 200       (a quick look: the detectors will be poor)

Films a restaurant counter, finds anchors, trains a small YOLOv3 and then, from its weights, one
with memory; judges both on footage of another seed and draws the boxes of both into one video.
Some actions are each other's time reversal: one frame cannot tell them, memory can. Each step is
an ordinary command and is printed as such.
"""
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
MODELS = {"frame": "one frame", "recurrent": "with memory"}
SIZE = ("64", "112")
FOOTAGE = (
    "--hand-scale",
    "2.4",
    "--variety",
    "0.2",
    "--action-share",
    "0.65",
    "--together",
    "0.1",
    "--unseen-share",
    "0.02",
)
JUDGED_FROM = 1000  # seeds of unseen footage begin here


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("demo", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--out", type=Path, default=Path("demo"), help="a new folder (default: demo)")
    add("--minutes", type=float, default=12.0, help="of footage to train on (default 12)")
    add("--steps", type=int, help="of each training (default: the configurations')")
    add("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError

    if not CONFIGS.is_dir():
        raise UserError(
            f"expected {CONFIGS}; install the toolkit from its checkout (pip install -e)"
        )
    out: Path = args.out
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: expected a new folder, found files in {out}; name another")
    started = time.monotonic()
    dataset = _film(out / "footage", args.minutes, args.seed, "--size", *SIZE)
    unseen = _film(
        out / "unseen", 3, args.seed + JUDGED_FROM, "--size", "256", "448", "--still-share", "1"
    )
    anchors = out / "anchors.yaml"
    _step(
        "kmeans-anchors",
        "--data",
        dataset,
        "--size",
        *SIZE,
        "--resize",
        "stretch",
        "--strides",
        "8",
        "16",
        "--out",
        anchors,
        "--plot",
        out / "anchors.png",
    )
    steps = [f"loop.max_steps={args.steps}"] if args.steps else []
    for name in MODELS:
        start = [f"yolo.weights={out / 'frame' / 'best.pt'}"] if name == "recurrent" else []
        _step(
            "train",
            CONFIGS / f"demo_{name}.yaml",
            f"output={out / name}",
            f"data.dataset={dataset}",
            f"yolo.anchors={anchors}",
            f"seed={args.seed}",
            *start,
            *steps,
        )
        _judge(out, name, unseen)
    report, video = out / "comparison", out / "boxed.mp4"
    _step("compare", *(out / "reports" / name for name in MODELS), "--out", report)
    threshold = max(_threshold(out / "reports" / name) for name in MODELS)
    _step(
        "render",
        "--data",
        unseen,
        "--video",
        unseen.parent / "videos" / "counter00_front.mp4",
        "--detections",
        *(out / f"{name}.jsonl" for name in MODELS),
        "--titles",
        *MODELS.values(),
        "--threshold",
        f"{threshold:.2f}",
        "--out",
        video,
    )
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    for name, title in MODELS.items():
        print(f"report, {title}: {out / 'reports' / name / 'report.html'}")
    print(f"side by side: {report / 'compare.html'}")
    print(f"video of both: {video}")


def _film(folder: Path, minutes: float, seed: int, *arguments: str) -> Path:
    """The data set file of new footage."""
    scenes = str(max(2, round(2 * minutes)))
    _step(
        "make-footage",
        "--out",
        folder,
        "--minutes",
        f"{minutes:g}",
        "--scenes",
        scenes,
        "--seed",
        str(seed),
        *FOOTAGE,
        *arguments,
    )
    return folder / "dataset.yaml"


def _judge(out: Path, name: str, unseen: Path) -> None:
    """A trained model on the unseen footage, to `reports/NAME`."""
    detections = out / f"{name}.jsonl"
    _step(
        "predict",
        unseen.parent / "videos",
        "--checkpoint",
        out / name / "best.pt",
        "--window",
        "16",
        "--out",
        detections,
    )
    _step(
        "evaluate",
        "--data",
        unseen,
        "--detections",
        detections,
        "--threshold-from",
        out / name / "report" / "metrics.json",
        "--motionless",
        unseen.parent / "restaurant.json",
        "--title",
        f"Unseen footage, {MODELS[name]}",
        "--out",
        out / "reports" / name,
    )


def _step(verb: str, *arguments: str | Path) -> None:
    """Print the command and run it in this process (the imports are paid once)."""
    import importlib

    words = [str(argument) for argument in arguments]
    print(f"\n$ stad {verb} {shlex.join(words)}", flush=True)
    module = importlib.import_module("stadet.tools." + verb.replace("-", "_"))
    if status := module.run(module.build_parser().parse_args(words)):
        raise (
            KeyboardInterrupt if status == 130 else RuntimeError(f"stad {verb} ended with {status}")
        )


def _threshold(report: Path) -> float:
    from stadet.detect.report.figures import read_figures

    return float(read_figures(report / "metrics.json")["threshold"])


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
