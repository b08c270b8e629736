"""Does memory help? Recurrent YOLO and its rivals on footage where only time tells (issue: report
001, section 4.1).

Films training footage (split by scene into train and val) and test footage of another seed, trains
every (model, seed) under the same budget of frames, several at once, and judges each once on the
test footage: frame-mAP, AP of frame-told and of reversed classes, balanced direction accuracy, the
same on motionless frames by the age of the stop, and the recurrent model with its state zeroed.

    python benchmarks/direction_experiment.py --out runs/direction --jobs 6 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
# differences from the configuration file
MODELS = {
    "recurrent": [],
    "frame": ["model=yolo"],
    "stacked2": ["model=stacked-yolo", "recurrent.stacked_frames=2"],
    "stacked3": ["model=stacked-yolo", "recurrent.stacked_frames=3"],
    "difference, no memory": ["recurrent.memory.carry=false"],
    "no difference": ["recurrent.memory.differences=[]"],
    "full ConvLSTM": ["recurrent.memory.depthwise=false"],
    "ConvGRU": ["recurrent.memory.cell=gru"],
    "report's recipe": [
        "recurrent.placement=head",
        "recurrent.memory={cell: lstm, depthwise: false, hidden: 1, peepholes: conv, "
        "differences: [], residual: false}",
        "recurrent.sampler.lanes=1",
        "recurrent.sampler.window=128",
        "recurrent.sampler.reverse=0",
    ],
}


def stad(*arguments: str | Path, log: Path) -> None:
    with open(log, "a") as stream:
        subprocess.run(
            [sys.executable, "-m", "tools.cli", *map(str, arguments)],
            cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip


def film(out: Path, name: str, arguments: list[str], log: Path) -> Path:
    folder = out / name
    if not (folder / "restaurant.json").exists():
        stad("make-footage", "--out", folder, "--overwrite", *arguments, log=log)
    return folder


def split_by_scene(folder: Path, val: float) -> None:
    """Whole scenes on one side, both views together."""
    path = folder / "dataset.yaml"
    content = yaml.safe_load(path.read_text())
    content["split"] = {"method": "videos", "val": val, "seed": 0}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def train_and_test(
    config: Path, model: str, seed: int, out: Path, train: Path, test: Path, overrides: list[str]
) -> dict:
    run = out / "runs" / f"{model.replace(' ', '_').replace(chr(39), '')}_{seed}"
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.with_suffix(".log")
    started = time.monotonic()
    if not (run / "report" / "metrics.json").exists():
        common = [f"output={run}", f"seed={seed}", f"data.dataset={train / 'dataset.yaml'}"]
        stad("train", config, *MODELS[model], *overrides, *common, log=log)
    seconds = time.monotonic() - started
    results = {"model": model, "seed": seed, "train_seconds": round(seconds)}
    variants = {"": []}
    if model == "recurrent":
        variants[", state zeroed"] = ["--forget"]
    for variant, extra in variants.items():
        detections = run / f"test{'_zeroed' if variant else ''}.jsonl"
        report = run / f"test{'_zeroed' if variant else ''}"
        if not (report / "metrics.json").exists():
            detections.unlink(missing_ok=True)
            stad(
                "predict", test / "videos", "--checkpoint", run / "best.pt", "--out", detections,
                "--window", "16", *extra, log=log,
            )  # fmt: skip
            stad(
                "evaluate", "--data", test / "dataset.yaml", "--detections", detections,
                "--motionless", test / "restaurant.json", "--out", report, "--bootstrap", "0",
                "--gallery", "0", "--threshold-from", run / "report" / "metrics.json", log=log,
            )  # fmt: skip
        results[f"test{variant}"] = summary(report / "metrics.json", test / "restaurant.json")
    return results


def summary(metrics: Path, facts: Path) -> dict:
    numbers = json.loads(metrics.read_text())
    told = set(json.loads(facts.read_text())["told_by_one_frame"])
    ap = {name: row["ap_50"] for name, row in numbers["per_class"].items()}
    pairs = [value for name, value in ap.items() if name not in told]
    return {
        "frame_map_50": numbers["frame_map_50"],
        "ap_frame_told": min(ap[name] for name in told if name in ap),
        "ap_pairs": sum(pairs) / len(pairs),
        "ap": ap,
        "direction": numbers.get("direction"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=ROOT / "configs/direction_recurrent.yaml")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--test-minutes", type=float, default=16)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--footage", nargs="*", default=[
        "--size", "64", "112", "--hand-scale", "2.4", "--variety", "0.3",
        "--action-share", "0.6", "--together", "0.1",
    ], help="further arguments of stad make-footage")  # fmt: skip
    parser.add_argument("--set", nargs="*", default=[], help="key=value for every run")
    parser.add_argument("--copy", type=Path, help="also write results.json and logs there")
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    log = out / "footage.log"
    train = film(out, "train", [
        *args.footage, "--minutes", str(args.minutes), "--scenes", str(args.scenes), "--seed", "0",
    ], log)  # fmt: skip
    split_by_scene(train, 0.1)
    test = film(out, "test", [
        *args.footage, "--minutes", str(args.test_minutes), "--scenes", "8", "--seed", "1000",
    ], log)  # fmt: skip
    jobs = [(model, seed) for seed in args.seeds for model in args.models]
    results = []

    def one(job: tuple[str, int]) -> dict:
        model, seed = job
        try:
            return train_and_test(args.config.resolve(), model, seed, out, train, test, args.set)
        except subprocess.CalledProcessError as error:
            return {"model": model, "seed": seed, "failed": str(error.cmd[3])}

    with ThreadPoolExecutor(args.jobs) as pool:
        for result in pool.map(one, jobs):
            results.append(result)
            print(json.dumps(result), flush=True)
            for folder in {out, args.copy or out}:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
