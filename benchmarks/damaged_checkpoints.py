"""Checkpoints damaged in many ways: each must be refused in one line, or still be the same.

  python benchmarks/damaged_checkpoints.py --count 2000
  python benchmarks/damaged_checkpoints.py --checkpoint runs/yolov3/best.pt

Kinds of damage: tests/engine/damage.py. Exits with 1 where one loads as something else, raises
anything but a UserError of one line, or memory grows beyond 1 GiB.
"""

from __future__ import annotations

import argparse
import collections
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from stadet.engine.checkpoint import save_checkpoint
from stadet.engine.config import load_config
from stadet.engine.errors import UserError
from stadet.tools.inference.detectors import checkpoint_description, open_detector
from stadet.tools.training.config import TrainConfig
from tests.engine.damage import KINDS, damaged

MIB = 2**20


def small_checkpoint(path: Path) -> Path:
    """A detector of the tiniest width with anchors of its own."""
    from stadet.anchors.presets import PRESETS

    torch.manual_seed(0)
    settings = ["yolo.width=0.0625", "yolo.depth=0.01", "data.size=[64, 96]"]
    config = load_config(TrainConfig, None, settings)
    names, anchors = ("pick", "put", "wipe"), PRESETS["yolov3-coco"].scaled_to((64, 96))
    model = config.recipe.build(len(names), anchors)
    split = {"digest": "0" * 16, "sides": {}, "video_digests": {}}
    content = checkpoint_description(config, names, anchors, split)
    save_checkpoint(path, {**content, "model": model.state_dict(), "progress": {}})
    return path


def same(found, original) -> bool:
    """Every weight, name, anchor and setting is the original's."""
    ours, theirs = found.model.state_dict(), original.model.state_dict()
    return (
        ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], value) for name, value in theirs.items())
        and (found.names, found.config, found.split, found.threshold)
        == (original.names, original.config, original.split, original.threshold)
        and found.anchors.to_dict() == original.anchors.to_dict()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="the one to damage (default: a small one)")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    counts: dict[str, collections.Counter] = {kind: collections.Counter() for kind in KINDS}
    bad: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        whole = args.checkpoint or small_checkpoint(Path(folder) / "whole.pt")
        original, content = open_detector(whole), whole.read_bytes()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        path = Path(folder) / "damaged.pt"
        for number in range(args.count):
            kind = KINDS[number % len(KINDS)]
            path.write_bytes(damaged(content, rng, kind))
            try:
                found = open_detector(path)
            except UserError as error:
                outcome = "refused" if "\n" not in str(error) else "several lines"
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"[:80]
            else:
                outcome = "the same" if same(found, original) else "another"
            counts[kind][outcome] += 1
            if outcome not in ("refused", "the same"):
                bad.append(f"{number} ({kind}): {outcome}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(f"{args.count} damaged checkpoints of {len(content) / MIB:.2f} MiB, seed {args.seed}")
    for kind, counter in counts.items():
        print(f"  {kind:<12}", ", ".join(f"{n} {what}" for what, n in sorted(counter.items())))
    print(f"{time.monotonic() - started:.0f} s; peak memory grew by {grown:.0f} MiB")
    print("\n".join(bad[:20]) or "none loaded as another, none raised anything but one line")
    return int(bool(bad) or grown > 1024)


if __name__ == "__main__":
    sys.exit(main())
