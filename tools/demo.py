"""stad demo: the whole route on generated footage, to a report and a boxed video."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

SUMMARY = "the whole route on generated footage, on the CPU, in minutes"
EXAMPLES = """\
examples:
  stad demo
  stad demo --out demo3 --seed 3
  stad demo --minutes 2 --epochs 1        (a quick look: the detector will be poor)

Films a restaurant counter, finds anchors, trains a small YOLOv3, judges it on footage of another
seed and draws its boxes into a video. Each step is an ordinary command and is printed as such.
"""
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "demo_frame.yaml"
FOOTAGE = ["--hand-scale", "2", "--variety", "0.2"]
SMALL, LARGE = ["--size", "128", "224"], ["--size", "256", "448"]  # to train on; to watch


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stad demo", description=SUMMARY, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--out", type=Path, default=Path("demo"), help="a new folder (default: demo)")
    add("--minutes", type=float, default=5.0, help="of footage to train on (default 5)")
    add("--epochs", type=int, help="of training (default: the configuration's)")
    add("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    from engine.errors import UserError

    if not CONFIG.is_file():
        raise UserError(
            f"expected {CONFIG}; install the toolkit from its checkout (pip install -e)"
        )
    out: Path = args.out
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: expected a new folder, found files in {out}; name another")
    footage, unseen, trained = out / "footage", out / "unseen", out / "run"
    seed, started = str(args.seed), time.monotonic()
    _step(
        "make-footage", "--out", footage, "--minutes", f"{args.minutes:g}",
        "--scenes", str(max(2, round(2 * args.minutes))), "--seed", seed, *FOOTAGE, *SMALL,
    )  # fmt: skip
    _step(
        "make-footage", "--out", unseen, "--minutes", "2", "--scenes", "2",
        "--seed", str(args.seed + 1000), *FOOTAGE, *LARGE,
    )  # fmt: skip
    _step(
        "kmeans-anchors", "--data", footage / "dataset.yaml", "--size", "128", "224",
        "--resize", "stretch", "--out", out / "anchors.yaml", "--plot", out / "anchors.png",
    )  # fmt: skip
    overrides = [f"loop.epochs={args.epochs}", "loop.validate_every=1"] if args.epochs else []
    _step(
        "train", CONFIG, f"output={trained}", f"data.dataset={footage / 'dataset.yaml'}",
        f"yolo.anchors={out / 'anchors.yaml'}", f"seed={seed}", *overrides,
    )  # fmt: skip
    detections, report, video = out / "unseen.jsonl", out / "report", out / "boxed.mp4"
    _step("predict", unseen / "videos", "--checkpoint", trained / "best.pt", "--out", detections)
    _step(
        "evaluate", "--data", unseen / "dataset.yaml", "--detections", detections,
        "--threshold-from", trained / "report" / "metrics.json",
        "--motionless", unseen / "restaurant.json", "--title", "Unseen footage", "--out", report,
    )  # fmt: skip
    _step(
        "render", "--data", unseen / "dataset.yaml", "--video",
        unseen / "videos" / "counter00_front.mp4", "--detections", detections,
        "--threshold", f"{_threshold(report):.2f}", "--out", video,
    )  # fmt: skip
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    print(f"report: {report / 'report.html'}")
    print(f"video:  {video}")


def _step(verb: str, *arguments: str | Path) -> None:
    """Print the command and run it in this process (the imports are paid once)."""
    import importlib

    words = [str(argument) for argument in arguments]
    print(f"\n$ stad {verb} {shlex.join(words)}", flush=True)
    module = importlib.import_module("tools." + verb.replace("-", "_"))
    if status := module.run(module.build_parser().parse_args(words)):
        raise (
            KeyboardInterrupt if status == 130 else RuntimeError(f"stad {verb} ended with {status}")
        )


def _threshold(report: Path) -> float:
    from detect.report.figures import read_figures

    return float(read_figures(report / "metrics.json")["threshold"])


if __name__ == "__main__":
    from tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
