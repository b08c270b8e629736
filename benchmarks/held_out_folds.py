"""Faulty annotation of generated footage, and detections by models that did not train on it.

    python benchmarks/held_out_folds.py --out runs/faulty --minutes 12 --scenes 12 --seed 0

Films counters with the generator's imperfect annotation, plants further faults
(`planted_faults.py`), cuts the scenes into two folds, trains the demo's frame detector and its
recurrent one on each fold's faulty annotation, and runs them over the other fold. --out gets
`footage/` (videos, the faulty data set `dataset.yaml`, the clean `dataset_clean.yaml`),
`faults.json`, `frame.jsonl` and `recurrent.jsonl`. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from experiment import film, stad, train
from planted_faults import plant_all

from stadet.datasets.formats.coco_video import write_coco_video
from stadet.datasets.restaurant import FootageConfig, Scene
from stadet.detect.structures import AnnotationSet

ROOT = Path(__file__).resolve().parents[1]
LOOKS = {"hand_scale": 2.4, "variety": 0.2, "action_share": 0.6, "together": 0.15}
MODELS = ("frame", "recurrent")


def make_footage(out: Path, minutes: float, scenes: int, size: list[int], seed: int) -> Path:
    """The footage's folder: videos, faulty and clean annotation."""
    options = {**LOOKS, "minutes": minutes, "scenes": scenes, "seed": seed, "wrong_labels": 0.06}
    config = FootageConfig(size=(size[0], size[1]), imperfect=True, **options)
    arguments = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
    arguments += ["--size", str(size[0]), str(size[1]), "--imperfect"]
    folder = film(out, "footage", arguments, out / "film.log")
    if (out / "faults.json").exists():
        return folder
    clean, imperfect, names = [], [], None
    for number in range(scenes):
        scene = Scene(config, number)
        names = scene.classes.names
        for view in config.view_names:
            clean.append(scene.annotations(view))
            imperfect.append(scene.annotations(view, imperfect=True))
    faulty, faults = plant_all(clean, imperfect, names, seed)
    truth = AnnotationSet(names, {video.name: video for video in clean})
    content = yaml.safe_load((folder / "dataset.yaml").read_text())
    content.pop("looked_at")
    for name, chosen in (("faulty", faulty), ("clean", truth)):
        write_coco_video(folder / f"{name}.json", chosen)
        own = {**content, "format": "coco-video", "annotations": f"{name}.json"}
        place = folder / ("dataset.yaml" if name == "faulty" else "dataset_clean.yaml")
        place.write_text(yaml.safe_dump(own, sort_keys=False))
    sides = [[v for v in truth.videos if int(v[7:9]) % 2 == fold] for fold in (0, 1)]
    for fold in (0, 1):
        lists = {"train": sides[fold], "val": sides[1 - fold]}
        own = {**content, "format": "coco-video", "annotations": "faulty.json"}
        own["split"] = {"method": "lists", "lists": lists}
        (folder / f"fold{fold}.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    (out / "faults.json").write_text(json.dumps([fault.as_dict() for fault in faults], indent=1))
    return folder


def train_fold(
    out: Path, folder: Path, fold: int, size: list[int], models: list[str], more: list[str]
) -> None:
    """Models on one fold, and their detections of the other. more: settings of the trainings."""
    for model in models:
        run = out / f"{model}{fold}"
        data = folder / f"fold{fold}.yaml"
        overrides = [f"data.dataset={data}", f"data.size=[{size[0]},{size[1]}]"]
        overrides += more
        if model == "recurrent":
            overrides.append(f"yolo.weights={out / f'frame{fold}' / 'best.pt'}")
        overrides.append(f"data.cache={out / f'cache{fold}'}")
        log = run.with_suffix(".log")
        train(ROOT / f"configs/demo_{model}.yaml", run, 0, folder, overrides)
        found = out / f"{model}{fold}.jsonl"
        if not found.exists():
            names = yaml.safe_load(data.read_text())["split"]["lists"]["val"]
            videos = [folder / "videos" / f"{name}.mp4" for name in names]
            arguments = ["--checkpoint", run / "best.pt", "--out", found, "--window", "16"]
            stad("predict", *videos, *arguments, "--score-floor", "0.05", log=log)


def join(out: Path, models: list[str], folds: list[int]) -> None:
    """Each model's detections of all videos, in one file."""
    for model in models:
        parts = [(out / f"{model}{fold}.jsonl").read_text().splitlines() for fold in folds]
        rows = [parts[0][0], *(row for part in parts for row in part[1:])]
        (out / f"{model}.jsonl").write_text("\n".join(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--size", type=int, nargs=2, default=[256, 448], help="of the footage")
    parser.add_argument("--network", type=int, nargs=2, default=[64, 112])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--train-on", type=int, nargs="+", choices=(0, 1), default=[0, 1])
    parser.add_argument("--set", nargs="+", default=[], help="settings of the trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="folds trained at the same time")
    parser.add_argument("--only-footage", action="store_true")
    args = parser.parse_args()
    args.out = args.out.absolute()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = make_footage(args.out, args.minutes, args.scenes, args.size, args.seed)
    if args.only_footage:
        return
    with ThreadPoolExecutor(args.at_once) as pool:
        jobs = [
            pool.submit(train_fold, args.out, folder, fold, args.network, args.models, args.set)
            for fold in args.train_on
        ]
        for job in jobs:
            job.result()
    join(args.out, args.models, args.train_on)


if __name__ == "__main__":
    main()
