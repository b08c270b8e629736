"""Images a second and frame-mAP after so many minutes: `stad train` beside `yolo train`.

    OMP_NUM_THREADS=1 python benchmarks/yolo_train.py --out runs/yolo_train

Films square footage (no padding for either), trains yolo11n from scratch by ultralytics' own
trainer and by the toolkit's loop, and the toolkit's YOLOv3 of a quarter of the width, each by its
own defaults (optimiser, batch, augmentation) to several lengths, and judges each run's end by one
evaluation on the validation side. Time is CPU time of training alone (one thread, no loading
processes): reading, augmentation, steps and moving averages, not the export of frames, caching or
validation. The same command continues.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import time
from pathlib import Path

from experiment import film, split_by_scene
from training_step import measure

FOOTAGE = ["--size", "128", "128", "--views", "1", "--hand-scale", "2.4", "--variety", "0.2"]
FOOTAGE += ["--minutes", "5", "--scenes", "10", "--action-share", "0.65", "--unseen-share", "0.02"]
SIZE = 128
ROWS = ("yolo train, yolo11n", "stad train, yolo11n", "stad train, YOLOv3 of width 1/4")


def main() -> None:
    args = _parse()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    arguments = [*FOOTAGE, "--seed", str(args.seed)]
    data = film(args.out, "footage", arguments, args.out / "footage.log")
    if not (args.out / "runs").exists():
        split_by_scene(data, 0.2)
    data /= "dataset.yaml"
    print(f"{'':<34}{'images':>8}{'images/s':>10}{'CPU min':>9}{'frame-mAP@0.5':>15}")
    for length in args.images:
        for number, name in enumerate(ROWS):
            folder = args.out / "runs" / f"{number}_{length}"
            record = folder.with_suffix(".json")
            if not record.exists():
                folder.parent.mkdir(exist_ok=True)
                shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
                learn = _by_ultralytics if number == 0 else _by_stad
                found = learn(folder, data, length, args.seed, number)
                record.write_text(json.dumps(found))
            found = json.loads(record.read_text())
            seconds = found["seconds"]
            print(
                f"{name:<34}{found['images']:>8,}{found['images'] / seconds:>10.1f}"
                f"{seconds / 60:>9.2f}{found['map']:>15.3f}",
                flush=True,
            )


def _by_ultralytics(folder: Path, data: Path, images: int, seed: int, _: int) -> dict:
    from ultralytics.engine.trainer import BaseTrainer

    from stadet.datasets.dataset import load_dataset
    from stadet.tools.training.ultralytics import train_ultralytics

    frames = sum(int(video.looked_at.sum()) for video in load_dataset(data).side("train"))
    epochs = max(1, round(images / frames))
    spent = {"train": 0.0, "validate": 0.0}

    def timed(name: str, key: str):
        method = getattr(BaseTrainer, name)

        def run(self, *args, **kwargs):
            began = time.process_time()
            try:
                return method(self, *args, **kwargs)
            finally:
                spent[key] += time.process_time() - began

        return run

    BaseTrainer.validate, kept = timed("validate", "validate"), BaseTrainer.validate
    BaseTrainer._do_train, kept_train = timed("_do_train", "train"), BaseTrainer._do_train
    try:
        with open(folder.with_suffix(".log"), "w") as log, contextlib.redirect_stdout(log):
            result = train_ultralytics(
                data, folder, model="yolo11n.yaml", epochs=epochs, size=SIZE, seed=seed
            )
    finally:
        BaseTrainer.validate, BaseTrainer._do_train = kept, kept_train
    seconds = spent["train"] - spent["validate"]
    return {
        "images": epochs * frames,
        "seconds": seconds,
        "map": result.evaluation.frame_map.mean_at(0.5),
    }


def _by_stad(folder: Path, data: Path, images: int, seed: int, number: int) -> dict:
    batch = 64
    steps = round(images / batch)
    settings = [f"data.size=[{SIZE},{SIZE}]", f"data.batch={batch}", f"seed={seed}"]
    settings += [f"loop.max_steps={steps}", *(["yolo.width=0.25"] if number == 2 else [])]
    name = ("ultralytics_frame", "demo_frame")[number - 1]
    with open(folder.with_suffix(".log"), "w") as log, contextlib.redirect_stdout(log):
        clock = measure(name, data, folder, settings)
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (last,) = [event for event in events if event["event"] == "validation"]
    taken = [step["whole"] for step in clock.steps[1:]]  # the first has the start in it
    seconds = sum(taken) * steps / len(taken)
    return {"images": batch * steps, "seconds": seconds, "map": last["frame_map_50"]}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--images", type=int, nargs="+", default=[10_000, 20_000, 40_000], help="of each training"
    )
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("YOLO_OFFLINE", "true")
    main()
