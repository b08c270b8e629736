"""Meals, stock and a rule on tongs on scripted footage of unseen counters: do the counts hold?

    python benchmarks/checkout.py --out runs/checkout --train
    python benchmarks/checkout.py --out runs/checkout --model frame=a.pt --model recurrent=b.pt

Films counters that serve meal after meal by a script, which knows what every meal holds, how many
pieces every bin has, and when a bin was touched with bare hands. Counts are taken by `stad counts`
and hits by the engine of `stad rules`, from the exact annotation (which must give the script's
values), from annotation as a hurried annotator writes it, and from the detections of models, each
as they come and with `one_action`. --train trains the demo's frame detector and its recurrent
one on other counters first (some minutes each); without --train and --model no model takes part.
What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml
from experiment import film, stad, train

from stadet.configs import find_config
from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.datasets.restaurant import FootageConfig, Scene
from stadet.datasets.restaurant.classes import CATALOGUE
from stadet.datasets.restaurant.motion import idle, perform
from stadet.datasets.restaurant.script import Appearance, Script
from stadet.detect.metrics.matching import NONE
from stadet.detect.metrics.temporal import Spans, match_onsets
from stadet.detect.scene.file import read_scene
from stadet.detect.scene.hits import hits_in_tubes
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.tubes.truth import truth_tube_set
from stadet.detect.tubes.tube_set import TubeSet
from stadet.tools.counts import CountResult, take_counts
from stadet.tools.tubes import link_tubes

TONGS = ("pick up from bin with tongs", "put back in bin with tongs")
HANDS = ("pick up from bin using hands", "put back in bin using hands")
SERVE, BACK = "put item into meal using hands", "take item from meal using hands"
TILL, WIPE = "operating POS", "wiping the counter"
CLASSES = (*TONGS, *HANDS, BACK, SERVE, TILL, WIPE)
LOOKS = {"hand_scale": 2.4, "variety": 0.2}  # as of `stad demo`
TRAINING = {**LOOKS, "action_share": 0.65, "together": 0.1, "unseen_share": 0.02}
INITIAL = 40  # pieces in every bin
BARE, UNWIPED = "bin touched with bare hands", "bare hands on food after the till"
SURE = "bin touched with bare hands, min_score 0.5"
WITHIN = 1.0  # seconds between a hit and the truth's
ACTIONS = {action.name: action for action in CATALOGUE}


@dataclass
class Service:
    """What a script says. meals: items by bin; moves: (bin, -1 or 1) in order; uses: moves with
    tongs and with hands."""

    appearances: list[Appearance] = field(default_factory=list)
    meals: list[Counter] = field(default_factory=list)
    moves: list[tuple[str, int]] = field(default_factory=list)
    uses: Counter = field(default_factory=Counter)


def serve(config: FootageConfig, number: int) -> tuple[Scene, Service]:
    """One counter at work: picks from bins, some put back, items served, some taken back, till."""
    layout = Scene(config, number).layout
    rng = np.random.default_rng([config.seed, number, 7])
    bins = {station.content: station for station in layout.of_kind("bin")}
    others = tuple(station for station in layout.stations if station.kind != "bin")
    service = Service()
    at = round(config.fps)

    def act(name: str, content: str | None = None) -> bool:
        """Perform an action, at one bin; False where no time is left for it."""
        nonlocal at
        here = replace(layout, stations=(*others, bins[content])) if content else layout
        hand = perform(rng, ACTIONS[name], here, config)
        if at + len(hand) + config.fps > config.frames_per_scene:
            at = config.frames_per_scene
            return False
        service.appearances.append(Appearance(at, 0, hand))
        at += len(hand) + round(rng.uniform(0.3, 1.0) * config.fps)
        return True

    def move(tool: str, content: str, change: int) -> bool:
        pair = TONGS if tool == "tongs" else HANDS
        if not act(pair[change > 0], content):
            return False
        service.moves.append((content, change))
        service.uses[tool] += 1
        return True

    while at < config.frames_per_scene:
        meal: list[str] = []
        going = True
        for _ in range(rng.integers(1, 5)):
            content = str(rng.choice(list(bins)))
            tool = "hands" if rng.uniform() < 0.25 else "tongs"
            going = move(tool, content, -1)
            if going and rng.uniform() < 0.15:  # the wrong one: back, and another
                going = move(tool, content, 1)
                content = str(rng.choice(list(bins)))
                going = going and move(tool, content, -1)
            going = going and act(SERVE)
            if not going:
                break
            meal.append(content)
            if len(meal) > 1 and rng.uniform() < 0.12:
                going = act(BACK)
                if going:
                    meal.pop()
        if going and rng.uniform() < 0.3:
            hand = idle(rng, layout, config, round(2 * config.fps))
            if at + len(hand) < config.frames_per_scene:
                service.appearances.append(Appearance(at, 1, hand))
                at += len(hand)
        going = going and act(TILL)
        if meal:
            service.meals.append(Counter(meal))
        if going and rng.uniform() < 0.5:
            act(WIPE)
    looked_at = np.ones(config.frames_per_scene, dtype=bool)
    script = Script(tuple(service.appearances), looked_at)
    return Scene(config, number, script), service


def scene_file(path: Path, scenes: list[Scene], one_action: bool) -> Path:
    """A camera for each counter; zones: a bin and the lane above it."""
    cameras, names = {}, set()
    for scene in scenes:
        height, width = scene.config.size
        zones = {}
        for station in scene.layout.of_kind("bin"):
            (x, y), (w, h) = station.centre, station.size
            corners = np.array(
                [[x - w / 2, -0.2], [x + w / 2, -0.2], [x + w / 2, y + h], [x - w / 2, y + h]]
            )
            shares = scene.cameras["front"].project(corners) / [width, height]
            zones[station.content] = np.clip(shares, 0, 1).round(4).tolist()
        names |= set(zones)
        cameras[scene.name] = {"videos": [scene.video_name("front")], "zones": zones}
    content = {
        "schema": "stad-scene/1",
        "cameras": cameras,
        "rules": [
            {"name": BARE, "kind": "presence", "classes": list(HANDS), "seconds": 0.2},
            {
                "name": SURE,
                "kind": "presence",
                "classes": list(HANDS),
                "seconds": 0.2,
                "min_score": 0.5,
            },
            {
                "name": UNWIPED,
                "kind": "sequence",
                "steps": [{"classes": [TILL]}, {"classes": [SERVE, *HANDS]}],
                "unless": {"classes": [WIPE]},
                "within": 15,
            },
        ],
        "counts": {
            "one_action": one_action,
            "anchor": "top",
            "meals": {
                "items": {"item": [SERVE]},
                "back": [BACK],
                "checkout": [TILL],
                "bin_seconds": 20,
            },
            "stock": {
                "take": [TONGS[0], HANDS[0]],
                "put": [TONGS[1], HANDS[1]],
                "bins": {name: {"initial": INITIAL} for name in sorted(names)},
            },
            "use": {"tongs": list(TONGS), "hands": list(HANDS)},
        },
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def film_services(out: Path, config: FootageConfig) -> tuple[list[Scene], list[Service]]:
    """Scenes and what their scripts say; their videos from the front in `out`/videos."""
    scenes, services = [], []
    for number in range(config.scenes):
        scene, service = serve(config, number)
        scenes.append(scene)
        services.append(service)
        path = out / "videos" / f"{scene.video_name('front')}.mp4"
        if path.exists():
            continue
        part = path.with_suffix(".part.mp4")
        with VideoWriter(part, config.size, config.fps) as writer:
            for frame in scene.frames("front"):
                writer.write(frame)
        part.rename(path)
    return scenes, services


def train_models(out: Path, minutes: float, seed: int, steps: int | None) -> dict[str, Path]:
    """The demo's two detectors on other counters of the same classes."""
    options = {**TRAINING, "minutes": minutes, "scenes": max(2, round(2 * minutes)), "seed": seed}
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    arguments += ["--size", "64", "112", "--names", *CLASSES]
    footage = film(out, "training", arguments, out / "film.log")
    anchors = out / "anchors.yaml"
    if not anchors.exists():
        sizes = ["--size", "64", "112", "--resize", "stretch", "--strides", "8", "16"]
        data = footage / "dataset.yaml"
        stad("kmeans-anchors", "--data", data, *sizes, "--out", anchors, log=out / "film.log")
    models: dict[str, Path] = {}
    for name in ("frame", "recurrent"):
        more = [f"yolo.anchors={anchors}", *([f"loop.max_steps={steps}"] if steps else [])]
        if models:
            more.append(f"yolo.weights={models['frame']}")
        config = find_config(f"demo_{name}")
        print(f"{name}: {train(config, out / name, seed, footage, more)} s of training")
        models[name] = out / name / "best.pt"
    return models


def detect(out: Path, name: str, checkpoint: Path) -> Path:
    path = out / f"{name}.jsonl"
    if not path.exists():
        arguments = ["--checkpoint", checkpoint, "--out", path, "--window", "16"]
        stad("predict", out / "videos", *arguments, log=out / f"{name}.log")
    return path


def check_script(result: CountResult, services: list[Service], touches: int) -> None:
    """The exact boxes' counts are the script's."""
    for video, service in zip(result.counts.videos, services, strict=True):
        found = [meal.content for meal in video.meals]
        assert [+meal for meal in service.meals] == found, video.name
        moves = [(move.bin, move.change) for move in video.moves]
        assert moves == service.moves, video.name
    uses = sum((service.uses for service in services), Counter())
    assert {tool: result.counts.total("uses", tool) for tool in uses} == dict(uses)
    assert touches == uses["hands"], (touches, uses)


def hits_of(scene_path: Path, tubes: TubeSet, scenes: list[Scene]) -> list[tuple]:
    """(rule, video, when, met) of every hit; when: what the rule asks for began, of a sequence: its
    last step."""
    scene = read_scene(scene_path)
    rows = []
    for number, video in enumerate(tubes):
        size = scenes[0].config.size
        for hit in hits_in_tubes(scene, scene.camera_of(video.name), video, tubes.names, size):
            when = hit.at if hit.kind == "sequence" else hit.start
            rows.append((hit.rule, number, when, hit.at))
    return rows


def rule_figures(found: list[tuple], truth: list[tuple], rule: str) -> dict[str, float]:
    """Precision and recall within a second, median delay to telling."""
    own = [row for row in found if row[0] == rule]
    right = [row for row in truth if row[0] == rule]
    spans = [
        Spans.build([(v, 0, when, met, 1.0) for _, v, when, met in rows]) for rows in (own, right)
    ]
    match = match_onsets(*spans, WITHIN).truth
    pairs = [(own[i], right[t]) for i, t in enumerate(match.tolist()) if t != NONE]
    delays = [row[3] - other[2] for row, other in pairs]
    return {
        "truths": len(right),
        "hits": len(own),
        "precision": len(pairs) / len(own) if own else float("nan"),
        "recall": len(pairs) / len(right) if right else float("nan"),
        "delay": float(np.median(delays)) if delays else float("nan"),
    }


def figures(result: CountResult) -> dict[str, float]:
    errors = result.errors
    assert errors is not None and errors.meals is not None
    final = [abs(row.final[1] - row.final[0]) for row in errors.stock.values()]
    return {
        "meals": errors.meals.found,
        "exact": errors.meals.exact,
        "content": errors.meals.exact_content,
        "items": errors.meals.items,
        "stock": errors.stock_error,
        "stock right": errors.stock_right,
        "stock at the end": float(np.mean(final)),
        "tongs": errors.use["tongs"].relative,
        "hands": errors.use["hands"].relative,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0, help="of service (%(default)s)")
    parser.add_argument("--scenes", type=int, default=6, help="counters (%(default)s)")
    parser.add_argument("--seed", type=int, default=1000, help="of the service (%(default)s)")
    parser.add_argument("--train", action="store_true", help="train the demo's two detectors")
    parser.add_argument("--train-minutes", type=float, default=12.0, help="of footage for that")
    parser.add_argument("--train-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of each training (default: the demo's)")
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME=CHECKPOINT", help="another model"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    options = {**LOOKS, "minutes": args.minutes, "scenes": args.scenes, "seed": args.seed}
    config = FootageConfig(size=(128, 224), names=CLASSES, views=1, unseen_share=0.0, **options)
    scenes, services = film_services(args.out, config)
    truth = annotations(scenes, imperfect=False)
    write_coco_video(args.out / "truth.json", truth)
    files = {
        one_action: scene_file(args.out / f"scene{one_action:d}.yaml", scenes, one_action)
        for one_action in (False, True)
    }
    tubes = truth_tube_set(truth)
    hits = hits_of(files[False], tubes, scenes)
    exact = take_counts(files[False], ground_truth=truth)
    check_script(exact, services, sum(rule == BARE for rule, *_ in hits))
    items = sum(sum(meal.values()) for service in services for meal in service.meals)
    print(
        f"{args.scenes} counters, {args.minutes:g} minutes: {sum(len(s.meals) for s in services)} "
        f"meals with {items} items, {sum(len(s.moves) for s in services)} moves of stock, "
        f"{sum(rule == BARE for rule, *_ in hits)} touches with bare hands, "
        f"{sum(rule == UNWIPED for rule, *_ in hits)} unwiped; from exact boxes all as scripted"
    )
    models: dict[str, Path] = {}
    if args.train:
        models = train_models(args.out, args.train_minutes, args.train_seed, args.steps)
    models |= {name: Path(path) for name, _, path in (m.partition("=") for m in args.model)}
    sources = {"hurried annotation": truth_tube_set(annotations(scenes, imperfect=True))}
    for name, checkpoint in models.items():
        found = detect(args.out, name, checkpoint)
        sources[name] = link_tubes(found, ground_truth=truth)
    table = []
    for name, own in sources.items():
        ruled = hits_of(files[False], own, scenes)
        rules = {rule: rule_figures(ruled, hits, rule) for rule in (BARE, SURE, UNWIPED)}
        for one_action, path in files.items():
            folder = args.out / f"{name.replace(' ', '-')}{'-one-action' * one_action}"
            result = take_counts(
                path, own, ground_truth=truth, truth=True, start="11:00", out=folder
            )
            words = f"{name}, one_action" if one_action else name
            row = {"source": words, **figures(result), "rules": rules}
            table.append(row)
            print(words + ": " + ", ".join(f"{k} {v:.3f}" for k, v in figures(result).items()))
        for rule, values in rules.items():
            print(f"  {rule}: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))
    (args.out / "checkout.json").write_text(json.dumps(table, indent=1))


def annotations(scenes: list[Scene], *, imperfect: bool) -> AnnotationSet:
    videos: list[VideoAnnotations] = [
        scene.annotations("front", imperfect=imperfect) for scene in scenes
    ]
    return AnnotationSet(CLASSES, {video.name: video for video in videos})


if __name__ == "__main__":
    main()
