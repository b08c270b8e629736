"""Clip classifiers trained from scratch for the same CPU time on the same split.

    OMP_NUM_THREADS=1 python benchmarks/equal_budget.py configs/handwash.yaml \\
        data.root=HandWash data.split=given --seconds 150 --out runs/equal_budget

The models of the hand-washing report, and others, on one configuration's data, input size and
augmentation; a model's own options, frames and batch are in MODELS. Each model's training step is
timed first (CPU seconds of this process: forward, backward, optimiser; reading is the loader's),
which gives the steps that fit the budget; the learning rate's schedule spans them. Judged once, by
the last weights. The same command continues where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from stadet.classify.training import ClassificationStep
from stadet.detect.classification_batch import ClassificationBatch
from stadet.engine.config import load_config
from stadet.engine.exact_convolutions import training_autocast
from stadet.engine.files import atomic_write
from stadet.engine.optimise import build_optimiser, channels_last
from stadet.tools.classification.checkpoint import build_classifier
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.classification.cross_validation import judge_last
from stadet.tools.classification.run_table import PlannedRun, run_all, text_table

CLASSES = tuple(map(str, range(12)))  # how many there are hardly changes a step's time
WHOLE = [  # spread over the whole video, so that few clips tell as much as many
    "sampling.policy=uniform-frames",
    "sampling.frames=8",
    "sampling.test_clips=3",
]
RECURRENT = [*WHOLE, "loop.optimiser.lr=1e-3"]
HEAVY = [*RECURRENT, "input.batch=4"]
# differences from the configuration file
MODELS = {
    "convlstm": RECURRENT,
    "cnn_lstm_custom": RECURRENT,
    "cnn_lstm_alexnet": [*RECURRENT, "model.options={trainable: true}"],
    "cnn_lstm_resnet50": [*HEAVY, "model.options={trainable: true}"],
    "three_stream": HEAVY,
    "late_fusion_average": [*RECURRENT, "model.options={backbone: resnet18, trainable: true}"],
    "resnet3d": [*WHOLE, "model.options={width: 0.25, dropout: 0.3}"],
    "compact": [],
}


def main() -> None:
    args = _parse()
    settings = list(args.settings)
    file = settings.pop(0) if settings and "=" not in settings[0] else None
    out = Path(args.out)
    record = out / "step_seconds.json"
    seconds = json.loads(record.read_text()) if record.exists() else {}
    plans = []
    for name in args.models:
        overrides = (f"model.name={name}", "model.options={}", *MODELS[name])
        config = load_config(ClassifierConfig, file, [*settings, *overrides])
        if name not in seconds:
            seconds[name] = step_seconds(config)
            with atomic_write(record) as stream:
                json.dump(seconds, stream, indent=1)
        steps = max(1, round(args.seconds / seconds[name]))
        clips = steps * config.input.batch
        print(f"{name}: {seconds[name]:.3f} s a step, {steps} steps, {clips:,} clips", flush=True)
        budget = (f"loop.max_steps={steps}", "loop.epochs=1000000", "loop.validate_every=1000000")
        plans.append(PlannedRun(name, {"run": name, "clips": clips}, (*overrides, *budget)))
    rows = run_all(plans, file, settings, out, judge_last)
    if rows is not None:
        print(text_table(rows, ["run", "clips", "top1", "top5", "loss", "seconds"]))


def step_seconds(config: ClassifierConfig, repeats: int = 3) -> float:
    """Median CPU seconds of a training step, after one that is not counted."""
    torch.manual_seed(config.seed)
    model = build_classifier(config, [CLASSES]).train()
    if config.loop.channels_last:
        channels_last(model)
    optimiser = build_optimiser(model, config.loop.optimiser)
    step, size = ClassificationStep(), (config.input.batch, config.sampling.frames, 3)
    batch = ClassificationBatch(
        {
            name: torch.randint(0, 256, (*size, *config.input.size), dtype=torch.uint8)
            for name in model.inputs
        },
        labels=torch.zeros(size[0], dtype=torch.int64),
        valid=torch.ones(size[0], dtype=torch.bool),
        videos=[""] * size[0],
    )
    half = torch.bfloat16 if config.loop.precision == "bf16" else None
    found = []
    for _ in range(repeats + 1):
        begun = time.process_time()
        with training_autocast(torch.device("cpu"), half):
            losses, _ = step(model, batch)
        optimiser.zero_grad()
        losses["class"].backward()
        optimiser.step()
        found.append(time.process_time() - begun)
    return statistics.median(found[1:])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="a configuration file, then overrides")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--seconds", type=float, default=150, help="CPU time of a training")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    main()
