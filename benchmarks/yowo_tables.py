"""Tables 1 to 3 of the restaurant report on generated footage: YOWO against a frame detector, by 3D
backbone, by anchors, and frozen or fine-tuned after pretraining; and the published recipe against
ours.

Every run of a table sees the same number of clips and is judged once, by its last weights, on
counters that training does not show. Tables 1 and 2 begin from nothing, on the footage of
configs/yowo_small_cpu.yaml. Table 3 and "recipes" are on another domain (smaller hands, other
counters, 16 classes with a long tail) and begin from the detector that was trained on the first.

    OMP_NUM_THREADS=1 python benchmarks/yowo_tables.py --out runs/yowo_tables \\
        --pretrained runs/yowo_small_cpu
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from experiment import ROOT, film, split_by_scene, train

FREEZE = "yowo.freeze=[2d,3d]"
# replaced by files of the pretraining's run
WEIGHTS, ITS_ANCHORS = "its weights", "its anchors"
PUBLISHED = [
    "yowo.box_loss=smooth_l1",
    "yowo.normalise=sum",
    "yowo.reverse=0",
    "loop.ema_decay=0",
    "loop.clip_norm=0",
    "loop.optimiser={name: adam, lr: 1.e-4, weight_decay: 5.e-4}",
    "loop.schedule={name: multistep, warmup: 0.0, milestones: [0.1, 0.2, 0.3, 0.4], gamma: 0.5}",
]
# by table: the differences of each run from the configuration
TABLES: dict[str, dict[str, list[str]]] = {
    "1": {
        "YOWO, ResNet-18": [],
        "YOLOv3, one frame": [
            "model=yolo",
            "yolo.width=0.125",
            "yolo.depth=0.01",
            "yolo.strides=[8,16]",
            "yolo.num_anchors=6",
        ],
    },
    "2": {
        "ResNet-18": [],
        "ResNet-50": ["yowo.backbone=resnet50"],
        "MobileNet 2.0x": ["yowo.backbone=mobilenet_2x"],
        "ResNeXt-101": ["yowo.backbone=resnext101"],
        "ResNet-18, preset anchors": ["yowo.anchors=yowo-ucf24"],
        "ResNet-18, grid of stride 16": ["yowo.stride=16"],
    },
    "3": {
        "from nothing": [],
        "pretrained, its anchors, branches frozen": [WEIGHTS, ITS_ANCHORS, FREEZE],
        "pretrained, own anchors, branches frozen": [WEIGHTS, FREEZE],
        "pretrained, own anchors, all fine-tuned": [WEIGHTS],
    },
    "recipes": {
        "ours": [WEIGHTS],
        "ours, without reversed clips": [WEIGHTS, "yowo.reverse=0"],
        "published": [WEIGHTS, *PUBLISHED],
    },
}
OTHER_DOMAIN = ("3", "recipes")


def figures(run: Path, facts: Path) -> dict[str, float]:
    """Of a run's report on its validation side."""
    numbers = json.loads((run / "report" / "metrics.json").read_text())
    told = set(json.loads(facts.read_text())["told_by_one_frame"])
    per_class = numbers["per_class"].items()
    ap = {name: row["ap_50"] for name, row in per_class if row["ap_50"] is not None}
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


def folder_name(table: str, overrides: list[str]) -> str:
    """The same run in two tables is one folder."""
    words = " ".join([*(["other"] if table in OTHER_DOMAIN else []), *overrides]) or "base"
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


def footages(out: Path, tables: list[str], given: Path | None) -> dict[str, Path]:
    """For each table its footage, filmed where it is not there yet."""
    log, size = out / "footage.log", ["--size", "64", "112", "--action-share", "0.65"]
    found = {}
    for table in tables:
        if table in OTHER_DOMAIN:
            more = ["--variety", "1", "--hand-scale", "1.8", "--classes", "16", "--minutes", "20"]
            name, more = "other_domain", [*more, "--scenes", "20", "--seed", "500"]
        elif given is not None:
            found[table] = given.resolve()
            continue
        else:
            more = ["--variety", "0.2", "--hand-scale", "2.4", "--minutes", "40", "--scenes", "40"]
            name, more = "train", [*more, "--together", "0.1", "--unseen-share", "0.02"]
        found[table] = film(out, name, [*size, *more], log)
        split_by_scene(found[table], 0.1 if table in OTHER_DOMAIN else 0.05)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--config", type=Path, default=ROOT / "configs/yowo_small_cpu.yaml")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add(
        "--only",
        nargs="+",
        choices=[row for rows in TABLES.values() for row in rows],
        metavar="RUN",
        help="rows of these tables",
    )
    add("--pretrained", type=Path, metavar="RUN", help="for table 3 and recipes")
    add("--steps", type=int, default=400)
    add("--seed", type=int, default=0)
    add("--footage", type=Path, help="for tables 1 and 2, split by scene")
    add("--set", nargs="*", default=[], help="key=value for every run")
    args = parser.parse_args()
    if not args.pretrained and set(OTHER_DOMAIN) & set(args.tables):
        parser.error(
            "table 3 and recipes need --pretrained, the run of configs/yowo_small_cpu.yaml"
        )
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    settings = [f"loop.max_steps={args.steps}", "loop.epochs=1000", "loop.validate_every=1000"]
    settings += args.set
    expect_same(out / "settings.json", [*settings, f"seed={args.seed}"])
    start = args.pretrained and args.pretrained.resolve()
    files = {
        WEIGHTS: [f"yowo.weights={start}/best.pt", "allow_overlap=true"],  # other counters,
        ITS_ANCHORS: [f"yowo.anchors={start}/anchors.yaml"],  # though of the same names
    }
    for table, footage in footages(out, args.tables, args.footage).items():
        rows = {}
        for label, overrides in TABLES[table].items():
            if args.only and label not in args.only:
                continue
            words = [word for each in overrides for word in files.get(each, [each])]
            run = out / "runs" / folder_name(table, overrides)
            seconds = train(args.config.resolve(), run, args.seed, footage, [*settings, *words])
            rows[label] = {**figures(run, footage / "restaurant.json"), "seconds": seconds}
            print_table(table, rows)


def expect_same(record: Path, settings: list[str]) -> None:
    """Refuse to mix runs of other settings in one folder."""
    if record.exists() and json.loads(record.read_text()) != settings:
        raise SystemExit(f"{record.parent} holds runs of other settings ({record}); choose another")
    record.write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
