"""Tables 1 to 3 of report 001 on generated footage: YOWO against a frame detector, by 3D backbone,
by anchors, and frozen or fine-tuned after pretraining on another domain; and the published recipe
against ours.

Every run of a table sees the same number of clips of the same footage and is judged once, by its
last weights, on counters that training does not show. The other domain, of the pretraining, has
larger hands, other counters and 16 classes, and the anchors that the public YOWO has for UCF101-24.

    OMP_NUM_THREADS=1 python benchmarks/yowo_tables.py --out runs/yowo_tables
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from experiment import ROOT, film, split_by_scene, train

PRESET = "yowo.anchors=yowo-ucf24"
FREEZE = "yowo.freeze=[2d,3d]"
PRETRAINING = "pretraining"
WEIGHTS = "its weights"  # stands for those of the pretraining
PUBLISHED = [
    "yowo.box_loss=smooth_l1", "yowo.normalise=sum", "yowo.reverse=0", "loop.ema_decay=0",
    "loop.clip_norm=0", "loop.optimiser={name: adam, lr: 1.e-4, weight_decay: 5.e-4}",
    "loop.schedule={name: multistep, warmup: 0.0, milestones: [0.1, 0.2, 0.3, 0.4], gamma: 0.5}",
]  # fmt: skip
# by table: the differences of each run from the configuration
TABLES: dict[str, dict[str, list[str]]] = {
    "1": {
        "YOWO, ResNet-18": [],
        "YOLOv3, one frame": [
            "model=yolo", "yolo.width=0.125", "yolo.depth=0.01", "yolo.strides=[8,16]",
            "yolo.num_anchors=6",
        ],
    },
    "2": {
        "ResNet-18": [],
        "ResNet-50": ["yowo.backbone=resnet50"],
        "ResNeXt-101": ["yowo.backbone=resnext101"],
        "MobileNet 2.0x": ["yowo.backbone=mobilenet_2x"],
        "ShuffleNetV2 2.0x": ["yowo.backbone=shufflenetv2_2x"],
        "ResNet-18, preset anchors": [PRESET],
        "ResNet-18, pretrained": [WEIGHTS],
    },
    "3": {
        "pretrained, preset anchors, branches frozen": [WEIGHTS, PRESET, FREEZE],
        "pretrained, own anchors, branches frozen": [WEIGHTS, FREEZE],
        "pretrained, own anchors, all fine-tuned": [WEIGHTS],
    },
    "recipes": {"ours": [], "without reversed clips": ["yowo.reverse=0"], "published": PUBLISHED},
}  # fmt: skip


def figures(run: Path, facts: Path) -> dict[str, float]:
    """Of a run's report on its validation side."""
    numbers = json.loads((run / "report" / "metrics.json").read_text())
    told = set(json.loads(facts.read_text())["told_by_one_frame"])
    ap = {name: row["ap_50"] for name, row in numbers["per_class"].items()}
    sides = [
        [v for n, v in ap.items() if (n in told) == frame_told] for frame_told in (True, False)
    ]
    return {
        "frame-mAP@0.5": numbers["frame_map_50"],
        "told by a frame": sum(sides[0]) / len(sides[0]),
        "reversed pairs": sum(sides[1]) / len(sides[1]),
        "localization recall": numbers["localization_recall"],
        "classification accuracy": numbers["classification_accuracy"],
        "ap": ap,
    }


def folder_name(overrides: list[str]) -> str:
    """The same run in two tables is one folder."""
    words = " ".join(overrides) or "base"
    return "".join(c if c.isalnum() else "_" for c in words)[:100]


def print_table(name: str, rows: dict[str, dict]) -> None:
    columns = [key for key in next(iter(rows.values())) if key != "ap"]
    print(f"\nTable {name}\n| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for label, row in rows.items():
        values = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in map(row.get, columns))
        print(f"| {label} | " + " | ".join(values) + " |")
    if name == "1":
        labels = list(rows)
        print("\n| AP@0.5 | " + " | ".join(labels) + " |\n|---" + "|---" * len(labels) + "|")
        for action in rows[labels[0]]["ap"]:
            values = (f"{rows[label]['ap'][action]:.3f}" for label in labels)
            print(f"| {action} | " + " | ".join(values) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--config", type=Path, default=ROOT / "configs/yowo_small_cpu.yaml")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--only", nargs="+", metavar="RUN", help="rows of these tables")
    add("--steps", type=int, default=700)
    add("--seed", type=int, default=0)
    add("--footage", type=Path, help="filmed before, with restaurant.json")
    add("--set", nargs="*", default=["data.size=[64,128]"], help="key=value for every run")
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    log = out / "footage.log"
    common = ["--size", "64", "112", "--variety", "0.2", "--action-share", "0.65"]
    more = ["--together", "0.1", "--unseen-share", "0.02", "--hand-scale", "2.4", "--scenes", "40"]
    footage = args.footage and args.footage.resolve()
    if footage is None:
        footage = film(out, "train", [*common, *more, "--minutes", "40", "--seed", "0"], log)
        split_by_scene(footage, 0.1)
    other = film(out, "other_domain", [
        *common[:2], "--variety", "1", "--hand-scale", "3", "--classes", "16", "--minutes", "20",
        "--scenes", "20", "--action-share", "0.65", "--seed", "500",
    ], log)  # fmt: skip
    split_by_scene(other, 0.1)
    length = [f"loop.max_steps={args.steps}", "loop.epochs=1000", "loop.validate_every=1000"]
    settings = [*length, *args.set]
    start = out / "runs" / PRETRAINING
    results: dict[str, dict[str, dict]] = {}
    for table in args.tables:
        for label, overrides in TABLES[table].items():
            if args.only and label not in args.only:
                continue
            if WEIGHTS in overrides:
                train(args.config.resolve(), start, args.seed, other, [*settings, PRESET])
            words = [f"yowo.weights={start / 'best.pt'}" if o == WEIGHTS else o for o in overrides]
            if WEIGHTS in overrides:
                words.append("allow_overlap=true")  # both domains number their counters from 0
            run = out / "runs" / folder_name(overrides)
            seconds = train(args.config.resolve(), run, args.seed, footage, [*settings, *words])
            row = {**figures(run, footage / "restaurant.json"), "seconds": seconds}
            results.setdefault(table, {})[label] = row
            (out / "results.json").write_text(json.dumps(results, indent=1))
            print_table(table, results[table])


if __name__ == "__main__":
    main()
