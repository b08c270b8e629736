"""Does a detector with memory answer alike at other frame rates than that of its training?

Trains the frame detector and the recurrent detector of `stad demo` on generated footage of 15
frames a second, then judges the recurrent one on one set of unseen scenes, each filmed once at 30
frames a second and written three times: every second frame (15 a second), all of them (30), and at
a variable rate (stretches of every, every second and every third frame, and one frame in ten lost).
`--fps native` takes every frame as it comes, which is what a detector does that does not know its
rate; without it, frames are resampled by their timestamps to the rate of the training. Direction
accuracy is balanced over the two classes of each reversed pair.

    OMP_NUM_THREADS=1 python benchmarks/frame_rates.py --out runs/frame_rates --seed 0
"""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from experiment import ROOT, film, stad, train

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.formats.cvat import write_cvat
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.files import QUALITY
from stadet.datasets.restaurant.scene import Scene

SETTINGS = {  # as stad demo films
    "size": (64, 112),
    "hand_scale": 2.4,
    "variety": 0.2,
    "action_share": 0.65,
    "together": 0.1,
    "unseen_share": 0.02,
}
FPS = 30.0


def film_rates(out: Path, minutes: float, scenes: int, seed: int) -> dict[str, Path]:
    """Version -> data set file: the same moments at 15, at 30 and at a variable rate."""
    versions = ("15", "30", "variable")
    files = {version: out / f"test_{version}" / "dataset.yaml" for version in versions}
    if all(path.exists() for path in files.values()):
        return files
    config = FootageConfig(
        minutes=minutes,
        scenes=scenes,
        fps=FPS,
        seed=seed,
        still_share=1.0,
        still_frames=(16, 32),
        views=1,
        **SETTINGS,
    )
    looked_at: dict[str, dict[str, list[list[int]]]] = {version: {} for version in versions}
    for number in range(scenes):
        scene = Scene(config, number)
        name = scene.video_name("front")
        kept = {
            "15": np.arange(0, len(scene), 2),
            "30": np.arange(len(scene)),
            "variable": uneven_frames(len(scene), np.random.default_rng([seed, number])),
        }
        with ExitStack() as stack:
            writers = {
                version: stack.enter_context(
                    VideoWriter(
                        files[version].parent / "videos" / f"{name}.mp4",
                        config.size,
                        15.0 if version == "15" else FPS,
                        variable_rate=version == "variable",
                        crf=QUALITY,
                    )
                )
                for version in versions
            }
            for index, picture in enumerate(scene.frames("front")):
                for version, writer in writers.items():
                    if index in kept[version]:
                        time = index / FPS if version == "variable" else None
                        writer.write(picture, time)
        truth = scene.annotations("front")
        for version in versions:
            frames = kept[version]
            place = np.searchsorted(frames, truth.frames).clip(max=len(frames) - 1)
            rows = frames[place] == truth.frames
            part = replace(
                truth,
                looked_at=truth.looked_at[frames],
                frames=place[rows],
                boxes=truth.boxes[rows],
                labels=truth.labels[rows],
                track_ids=truth.track_ids[rows],
                ignored=truth.ignored[rows],
            )
            folder = files[version].parent
            write_cvat(folder / "annotations" / f"{name}.xml", part, scene.classes.names)
            edges = np.flatnonzero(np.diff(np.r_[False, part.looked_at, False].astype(int)))
            looked_at[version][name] = [[int(a), int(b) - 1] for a, b in edges.reshape(-1, 2)]
    for version, path in files.items():
        content = {
            "format": "cvat",
            "names": list(scene.classes.names),
            "looked_at": looked_at[version],
            "reverses": scene.classes.reverses,
            "split": {"method": "videos", "val": 0.5},
        }
        path.write_text(json.dumps(content))  # JSON is YAML
    return files


def uneven_frames(count: int, rng: np.random.Generator) -> np.ndarray:
    """Stretches of 20 to 90 frames of which every first, second or third is kept; then one in ten
    of those is lost."""
    kept: list[int] = []
    at = 0
    while at < count:
        stop = min(count, at + int(rng.integers(20, 91)))
        kept += range(at, stop, int(rng.integers(1, 4)))
        at = stop
    frames = np.array(kept)
    return frames[(rng.random(len(frames)) >= 0.1) | (frames == 0)]


def judge(run: Path, dataset: Path, name: str, *extra: str) -> dict[str, float]:
    detections, report, log = run / f"{name}.jsonl", run / name, run.with_suffix(".log")
    if not (report / "metrics.json").exists():
        detections.unlink(missing_ok=True)
        checkpoint = ["--checkpoint", run / "best.pt", "--out", detections, "--window", "16"]
        stad("predict", dataset.parent / "videos", *checkpoint, *extra, log=log)
        scored = ["--detections", detections, "--data", dataset, "--out", report]
        fixed = ["--threshold-from", run / "report" / "metrics.json"]
        stad("evaluate", *scored, *fixed, "--bootstrap", "0", "--gallery", "0", log=log)
    numbers = json.loads((report / "metrics.json").read_text())
    accuracy = [row["accuracy"] for row in numbers["direction"]["everywhere"]]
    return {"direction": statistics.mean(accuracy), "frame_map_50": numbers["frame_map_50"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--seed", type=int, default=0)
    add("--minutes", type=float, default=12.0, help="of footage to train on")
    add("--test-minutes", type=float, default=6.0)
    add("--set", nargs="*", default=[], help="key=value for both trainings")
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    settings = [
        word
        for key, value in SETTINGS.items()
        for word in (
            f"--{key.replace('_', '-')}",
            *map(str, value if isinstance(value, tuple) else (value,)),
        )
    ]
    scenes = ["--minutes", f"{args.minutes:g}", "--scenes", str(max(2, round(2 * args.minutes)))]
    footage = film(out, "train", [*settings, *scenes, "--seed", str(args.seed)], out / "film.log")
    tests = film_rates(out, args.test_minutes, round(2 * args.test_minutes), args.seed + 1000)
    frame, recurrent = (out / "runs" / name for name in ("frame", "recurrent"))
    train(ROOT / "configs/demo_frame.yaml", frame, args.seed, footage, args.set)
    anchors = [f"yolo.anchors={frame / 'anchors.yaml'}", "yolo.num_anchors=6"]
    start = [f"yolo.weights={frame / 'best.pt'}", *anchors]
    train(ROOT / "configs/demo_recurrent.yaml", recurrent, args.seed, footage, [*start, *args.set])
    rows = {"15": judge(recurrent, tests["15"], "at_15")}
    for version in ("30", "variable"):
        native = judge(recurrent, tests[version], f"at_{version}_native", "--fps", "native")
        rows[f"{version}, every frame (--fps native)"] = native
        rows[f"{version}, resampled"] = judge(recurrent, tests[version], f"at_{version}")
    (out / "results.json").write_text(json.dumps(rows, indent=1))
    print("| footage | direction accuracy | frame-mAP@0.5 |")
    print("|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['direction']:.3f} | {row['frame_map_50']:.3f} |")


if __name__ == "__main__":
    main()
