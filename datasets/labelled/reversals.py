"""A generated classification set in which classes are time reversals of each other.

Every performance is written twice, forwards under one class and backwards under its reversal, as
frames without loss, so that the two videos hold the same pictures: whatever is blind to order
(Late Fusion by averaging) gives both the same answer and stays at chance, whoever sees order can
be right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stadet.datasets.restaurant.classes import CATALOGUE, ActionClass
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.motion import perform
from stadet.datasets.restaurant.scene import Scene
from stadet.datasets.restaurant.script import Appearance, Script
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_directory
from stadet.engine.progress import progress

PAIRS = tuple(action for action in CATALOGUE if action.reverse and action.forward)


def write_reversals(
    folder: str | os.PathLike,
    *,
    performances: int = 40,
    pairs: int = 2,
    val: float = 0.25,
    size: tuple[int, int] = (64, 96),
    seed: int = 0,
) -> Path:
    """Write `FOLDER/train|val/CLASS/video/00001.png ..`; returns the folder.

    performances: of each of the `pairs` pairs of classes, each giving one video of either class;
    val: share of the performances on the validation side (both videos of a performance are on
    the same side). The same seed gives the same pictures. UserError for a folder that is not empty.
    """
    import cv2

    if not (1 <= pairs <= len(PAIRS) and performances >= 2 and 0 < val < 1):
        raise UserError(
            f"expected 1 to {len(PAIRS)} pairs, 2 or more performances and a share val between 0 "
            f"and 1, found {pairs}, {performances} and {val}"
        )
    judged = max(1, round(val * performances))
    jobs = [(action, n) for action in PAIRS[:pairs] for n in range(performances)]
    with atomic_directory(folder) as temporary:
        for action, number in progress(jobs, description="filming", unit="video"):
            frames = list(film(action, size, seed, number))
            side = "val" if number < judged else "train"
            for name, shown in ((action.name, frames), (action.reverse, frames[::-1])):
                place = temporary / side / name / f"{number:04d}"
                place.mkdir(parents=True)
                for index, frame in enumerate(shown, 1):
                    path = place / f"{index:05d}.png"
                    if not cv2.imwrite(str(path), frame[..., ::-1]):
                        raise UserError(f"cannot write {path}; is the disk full?")
    return Path(folder)


def film(
    action: ActionClass, size: tuple[int, int], seed: int, number: int
) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 RGB frames of one performance of an action, at a counter of its own, from
    the item's first frame in the hand to its last."""
    config = FootageConfig(
        size=size,
        minutes=0.2,
        scenes=1,
        views=1,
        classes=len(CATALOGUE),
        seed=seed * 100_003 + number,
        hand_scale=2.2,
        noise=0.0,
        drift=0.0,
        still_share=0.0,
    )
    layout = Scene(config).layout
    performance = perform(np.random.default_rng([seed, number]), action, layout, config)
    seen = np.ones(len(performance), dtype=bool)
    scene = Scene(config, script=Script((Appearance(0, 0, performance),), seen))
    yield from scene.frames("front", *performance.annotated)
