"""Does memory help? Recurrent YOLO and its rivals on footage where only time tells (issue: report
001, section 4.1).

Films training footage (split by scene into train and val) and test footage of another seed. For
each seed trains a frame detector, then from its weights every model for the same number of frames,
and judges each once on the test footage: AP of frame-told and of reversed classes, balanced
direction accuracy, the same on motionless frames by the age of the stop, and the recurrent model
with its state zeroed.

    OMP_NUM_THREADS=1 python benchmarks/direction_experiment.py --out runs/direction --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiment import ROOT, film, split_by_scene, stad, train

START = "start"  # the frame detector that the others begin from
TRAIN_ALL = "yolo.freeze=[]"  # rivals whose first layers have to change, or may
# differences from the configuration file
MODELS = {
    "recurrent": [],
    "frame": ["model=yolo", TRAIN_ALL],
    "difference, no memory": ["recurrent.memory.carry=false"],
    "stacked3": ["model=stacked-yolo", "recurrent.stacked_frames=3", TRAIN_ALL],
    "all trained": [TRAIN_ALL],
    "stacked2": ["model=stacked-yolo", "recurrent.stacked_frames=2", TRAIN_ALL],
    "no difference": ["recurrent.memory.differences=[]"],
    "full ConvLSTM": ["recurrent.memory.depthwise=false"],
    "ConvGRU": ["recurrent.memory.cell=gru"],
    "report's recipe": [
        "recurrent.placement=head",
        "recurrent.memory={cell: lstm, depthwise: false, hidden: 1, peepholes: conv, "
        "differences: [], residual: false}",
        "recurrent.sampler.lanes=1",
        "recurrent.sampler.window=64",
        "recurrent.sampler.reverse=0",
    ],
}


def judge(run: Path, test: Path, name: str, *extra: str) -> dict:
    """The test footage's figures of a run's best checkpoint."""
    detections, report, log = run / f"{name}.jsonl", run / name, run.with_suffix(".log")
    if not (report / "metrics.json").exists():
        detections.unlink(missing_ok=True)
        stad(
            "predict",
            "--for-evaluation",
            test / "videos",
            "--checkpoint",
            run / "best.pt",
            "--out",
            detections,
            "--window",
            "16",
            *extra,
            log=log,
        )
        stad(
            "evaluate",
            "--data",
            test / "dataset.yaml",
            "--detections",
            detections,
            "--motionless",
            test / "restaurant.json",
            "--out",
            report,
            "--bootstrap",
            "0",
            "--gallery",
            "0",
            "--threshold-from",
            run / "report" / "metrics.json",
            log=log,
        )
    return summary(report / "metrics.json", test / "restaurant.json")


def train_and_test(
    model: str, seed: int, out: Path, train_footage: Path, test: Path, args: argparse.Namespace
) -> list[dict]:
    """One row for the model, and one for a recurrent model with its state zeroed."""
    start = out / "runs" / f"{START}_{seed}"
    if model == START:
        seconds = train(args.start_config.resolve(), start, seed, train_footage, args.set)
        return [{"model": model, "seed": seed, "seconds": seconds, **judge(start, test, "test")}]
    run = out / "runs" / f"{model.replace(' ', '_').replace(chr(39), '').replace(',', '')}_{seed}"
    weights = [f"yolo.weights={start / 'best.pt'}", f"yolo.anchors={start / 'anchors.yaml'}"]
    overrides = [*MODELS[model], *weights, *args.set]
    seconds = train(args.config.resolve(), run, seed, train_footage, overrides)
    rows = [{"model": model, "seed": seed, "seconds": seconds, **judge(run, test, "test")}]
    if model == "recurrent":
        zeroed = judge(run, test, "zeroed", "--forget")
        rows.append({"model": "recurrent, state zeroed", "seed": seed, "seconds": 0, **zeroed})
    return rows


def summary(metrics: Path, facts: Path) -> dict:
    numbers = json.loads(metrics.read_text())
    told = set(json.loads(facts.read_text())["told_by_one_frame"])
    ap = {name: row["ap_50"] for name, row in numbers["per_class"].items()}
    pairs = [value for name, value in ap.items() if name not in told]
    return {
        "ap_pairs": sum(pairs) / len(pairs),
        "ap_frame_told": min(ap[name] for name in told if name in ap),
        **direction_figures(numbers["direction"]),
        "frame_map_50": numbers["frame_map_50"],
        "ap": ap,
        "direction": numbers["direction"],
    }


def direction_figures(direction: dict) -> dict[str, float]:
    """Means over the pairs, and over the ages from 4 frames after the stop on."""
    old = [v for age, v in direction["by_frames_since_stop"].items() if not age.startswith("0")]
    still_ap = direction["motionless_ap_50"].values()
    return {
        "accuracy": statistics.mean(row["accuracy"] for row in direction["everywhere"]),
        "still_ap_pairs": statistics.mean(still_ap),
        "still_accuracy": statistics.mean(row["accuracy"] for row in direction["motionless"]),
        "still_accuracy_from_4": statistics.mean(old),
    }


def print_table(rows: list[dict]) -> None:
    """Mean and, from two seeds on, the least and the most."""
    columns = [key for key, value in rows[0].items() if isinstance(value, float)]
    print("| model | seeds | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        cells = []
        for column in columns:
            values = [row[column] for row in mine]
            spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        print(f"| {model} | {len(mine)} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--start-config", type=Path, default=ROOT / "configs/direction_frame.yaml")
    add("--config", type=Path, default=ROOT / "configs/direction_recurrent.yaml")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS)[:3])
    add("--seeds", type=int, nargs="+", default=[0])
    add("--jobs", type=int, default=1, help="runs at once")
    add("--minutes", type=float, default=40)
    add("--test-minutes", type=float, default=16)
    add(
        "--footage",
        nargs="*",
        default=[
            "--size",
            "64",
            "112",
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
        ],
        help="further arguments of stad make-footage",
    )
    add("--set", nargs="*", default=[], help="key=value for every run")
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    log = out / "footage.log"
    train_footage = film(
        out,
        "train",
        [
            *args.footage,
            "--minutes",
            str(args.minutes),
            "--scenes",
            "40",
            "--seed",
            "0",
        ],
        log,
    )
    split_by_scene(train_footage, 0.1)
    test = film(
        out,
        "test",
        [
            *args.footage,
            "--minutes",
            str(args.test_minutes),
            "--scenes",
            "16",
            "--seed",
            "1000",
            "--still-share",
            "1",  # more stops to judge by
        ],
        log,
    )
    rows: list[dict] = []

    def one(job: tuple[str, int]) -> list[dict]:
        return train_and_test(*job, out, train_footage, test, args)

    with ThreadPoolExecutor(args.jobs) as pool:
        for models in ([START], args.models):  # every start before what begins from it
            jobs = [(model, seed) for seed in args.seeds for model in models]
            for found in pool.map(one, jobs):
                rows += found
                (out / "results.json").write_text(json.dumps(rows, indent=1))
                print_table(found)
    print()
    print_table(rows)


if __name__ == "__main__":
    main()
