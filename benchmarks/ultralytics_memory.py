"""What a memory adds to ultralytics' detectors, and to ours, all from scratch by the same steps.

Films training and test footage on which only time tells the reversed pairs apart, trains each
network on single frames and then, from its weights, with a memory, and judges each once on the test
footage, the memory also emptied at every frame. The same command continues where it was stopped.

    python benchmarks/ultralytics_memory.py --out runs/ultralytics_memory --jobs 3
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from direction_experiment import judge
from experiment import ROOT, film, split_by_scene, train

FOOTAGE = ["--size", "64", "112", "--hand-scale", "2.4", "--variety", "0.2"]
FOOTAGE += ["--action-share", "0.65", "--together", "0.1", "--unseen-share", "0.02"]
TRAINING = ["--minutes", "40", "--scenes", "40", "--seed", "0"]
TEST = ["--minutes", "16", "--scenes", "16", "--seed", "1000", "--still-share", "1"]
SIZE = "data.size=[96,160]"  # a multiple of ultralytics' coarsest stride
NETWORKS = ("yolov3", "yolo11n", "yolo26n")  # the first is ours, of an eighth of the width


def main() -> None:
    args = _parse()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "footage.log"
    footage = film(args.out, "train", [*FOOTAGE, *TRAINING], log)
    split_by_scene(footage, 0.1)
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = list(pool.map(lambda name: learn(name, footage, args), args.networks))
    if args.train_only:
        return
    test = film(args.out, "test", [*FOOTAGE, *TEST], log)
    rows = []
    for name, (frame, memory) in zip(args.networks, runs, strict=True):
        for model, run, judged, extra in (
            (name, frame, "test", ()),
            (f"{name} with memory", memory, "test", ()),
            (f"{name} with memory, emptied", memory, "emptied", ("--forget",)),
        ):
            seconds = int(run.with_suffix(".seconds").read_text())
            rows.append({"model": model, "seconds": seconds, **judge(run, test, judged, *extra)})
            print(json.dumps(rows[-1]), flush=True)
    (args.out / "results.json").write_text(json.dumps(rows, indent=1))


def learn(name: str, footage: Path, args: argparse.Namespace) -> tuple[Path, Path]:
    """Run folders of a network and of its memory."""
    ours = name == "yolov3"
    frame, memory = (args.out / "runs" / f"{name}_{part}" for part in ("frame", "memory"))
    plain = ["augment.colour=0", f"loop.max_steps={args.steps[0]}", *args.set]
    kind = "direction" if ours else "ultralytics"
    network = [] if ours else [f"ultralytics.network={name}"]
    train(_config(f"{kind}_frame"), frame, args.seed, footage, [SIZE, *plain, *network])
    plain[1] = f"loop.max_steps={args.steps[1]}"
    weights = [f"{'yolo' if ours else 'ultralytics'}.weights={frame / 'best.pt'}"]
    if ours:
        weights += [f"yolo.anchors={frame / 'anchors.yaml'}", SIZE]
    train(_config(f"{kind}_recurrent"), memory, args.seed, footage, [*plain, *weights])
    return frame, memory


def _config(name: str) -> Path:
    return ROOT / "configs" / f"{name}.yaml"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[2000, 1500], help="of the frame detector, of memory"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument(
        "--train-only", action="store_true", help="judge later, by the same command"
    )
    parser.add_argument("--set", nargs="*", default=[], help="settings of every training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
