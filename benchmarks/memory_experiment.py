"""Variants of Recurrent YOLO on any footage with reversed pairs: one table.

Trains a frame detector, then from its weights each variant of the recurrent one, and judges all on
the test footage: AP of the reversed pairs and of the other classes, direction accuracy, the same
where hands rest (by frames since they stopped), and the recurrent ones with their memory emptied at
every frame. A variant is a name and key=value settings.

    python benchmarks/second_footage.py --out data/second --videos 120 --looked-at 0.44
    python benchmarks/second_footage.py --out data/second_test --videos 40 --seed 1000 --still 1
    OMP_NUM_THREADS=1 python benchmarks/memory_experiment.py --out runs/second \\
        --train data/second --test data/second_test --variant shipped \\
        --variant hold recurrent.sampler.hold=0.2
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from experiment import ROOT, stad, train


def judge(run: Path, test: Path, name: str, *extra: str) -> dict[str, float]:
    """The test footage's figures of a run's best checkpoint."""
    detections, report, log = run / f"{name}.jsonl", run / name, run.with_suffix(".log")
    if not (report / "metrics.json").exists():
        detections.unlink(missing_ok=True)
        checkpoint = ["--checkpoint", run / "best.pt", "--out", detections, "--window", "16"]
        stad("predict", "--for-evaluation", test / "videos", *checkpoint, *extra, log=log)
        data = ["--data", test / "dataset.yaml", "--detections", detections, "--out", report]
        stops = test / "stops.json"
        if stops.exists():
            data += ["--motionless", stops]
        learnt = ["--threshold-from", run / "report" / "metrics.json"]
        stad("evaluate", *data, *learnt, "--bootstrap", "0", "--gallery", "0", log=log)
    numbers = json.loads((report / "metrics.json").read_text())
    reverses = yaml.safe_load((test / "dataset.yaml").read_text())["reverses"]
    paired = {name for pair in reverses.items() for name in pair}
    ap = {name: row["ap_50"] for name, row in numbers["per_class"].items()}
    direction = numbers["direction"]
    row = {
        "pairs AP": statistics.mean(ap[name] for name in paired),
        "others AP": statistics.mean([v for name, v in ap.items() if name not in paired] or [0.0]),
        "direction": statistics.mean(r["accuracy"] for r in direction["everywhere"]),
    }
    if "motionless" in direction:
        late = [v for age, v in direction["by_frames_since_stop"].items() if age[0] != "0"]
        row |= {
            "resting AP": statistics.mean(direction["motionless_ap_50"].values()),
            "resting": statistics.mean(r["accuracy"] for r in direction["motionless"]),
            "from 4 frames": statistics.mean(v for v in late if v == v),
        }
    return row


def steps_of(run: Path) -> int:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return max(json.loads(line)["step"] for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--train", type=Path, required=True, help="folder of a data set")
    add("--test", type=Path, required=True, help="folder of another one, and its stops.json")
    add("--start-config", type=Path, default=ROOT / "configs/direction_frame.yaml")
    add("--config", type=Path, default=ROOT / "configs/direction_recurrent.yaml")
    add("--variant", nargs="+", action="append", metavar=("NAME", "KEY=VALUE"), default=[])
    add("--seeds", type=int, nargs="+", default=[0])
    add("--jobs", type=int, default=1, help="runs at once")
    add("--set", nargs="*", default=[], help="key=value for every run")
    add("--start-set", nargs="*", default=[], help="key=value for the frame detector")
    args = parser.parse_args()
    out, args.train, args.test = (p.resolve() for p in (args.out, args.train, args.test))
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    lock = threading.Lock()

    def add_row(name: str, seed: int, run: Path, seconds: int, figures: dict[str, float]) -> None:
        with lock:
            rows.append(
                {"model": name, "seed": seed, "s": seconds, "steps": steps_of(run), **figures}
            )
            (out / "results.json").write_text(json.dumps(rows, indent=1))
            print(name, seed, {k: round(v, 3) for k, v in figures.items()}, flush=True)

    def start(seed: int) -> None:
        run = out / f"frame_{seed}"
        overrides = [*args.set, *args.start_set]
        seconds = train(args.start_config.resolve(), run, seed, args.train, overrides)
        add_row("frame", seed, run, seconds, judge(run, args.test, "test"))

    def variant(job: tuple[int, list[str]]) -> None:
        seed, (name, *settings) = job
        first, run = out / f"frame_{seed}", out / f"{name}_{seed}"
        weights = [f"yolo.weights={first / 'best.pt'}", f"yolo.anchors={first / 'anchors.yaml'}"]
        overrides = [*weights, "yolo.num_anchors=6", *args.set, *settings]
        seconds = train(args.config.resolve(), run, seed, args.train, overrides)
        add_row(name, seed, run, seconds, judge(run, args.test, "test"))
        add_row(f"{name}, emptied", seed, run, 0, judge(run, args.test, "emptied", "--forget"))

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(start, args.seeds))
        list(pool.map(variant, [(seed, v) for seed in args.seeds for v in args.variant]))
    columns = [key for key in rows[-1] if key not in ("model", "seed")]
    print("\n| model | seed | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for row in sorted(rows, key=lambda r: r["model"]):
        cells = [f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        print(f"| {row['model']} | {row['seed']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
