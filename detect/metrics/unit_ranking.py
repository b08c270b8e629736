"""A ranking cut into the units that a bootstrap draws, small enough to be stored with a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.detect.clock import Clock, seconds_in_videos
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.ranking import Ranking
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

FEW_VIDEOS = 10  # below it, blocks of time are drawn instead of videos
BLOCK_SECONDS = 10.0
TICK = 1e-6  # seconds: a frame on a boundary belongs to the block that begins there


@dataclass(frozen=True, eq=False)
class UnitRanking:
    """names: classes; bounds (C + 1,): class c is rows bounds[c]:bounds[c + 1], by falling score;
    score (K,); true_positive (K,) bool; unit (K,) of each row; truths (U, C) of each unit and
    class; units: what they are, in words."""

    names: tuple[str, ...]
    bounds: np.ndarray
    score: np.ndarray
    true_positive: np.ndarray
    unit: np.ndarray
    truths: np.ndarray
    units: str

    @property
    def num_units(self) -> int:
        return len(self.truths)

    def same_truth(self, other: UnitRanking) -> bool:
        """Are both rankings of the same classes and truth, cut into the same units?"""
        return self.names == other.names and np.array_equal(self.truths, other.truths)

    def save(self, path: str | os.PathLike) -> None:
        """Write an .npz file."""
        with atomic_write(path, "wb") as stream:
            np.savez_compressed(
                stream,
                names=np.array(self.names, dtype=str),
                bounds=self.bounds,
                score=self.score.astype(np.float32),
                true_positive=np.packbits(self.true_positive),
                unit=self.unit.astype(np.int32),
                truths=self.truths.astype(np.int32),
                units=np.array(self.units),
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> UnitRanking:
        """Read what `save` wrote; UserError for anything else."""
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                bounds = file["bounds"]
                return cls(
                    tuple(file["names"].tolist()),
                    bounds,
                    file["score"].astype(np.float64),
                    np.unpackbits(file["true_positive"], count=int(bounds[-1])).astype(bool),
                    file["unit"].astype(np.int64),
                    file["truths"].astype(np.int64),
                    str(file["units"]),
                )
        except Exception as error:  # numpy and zipfile raise what they come across
            raise UserError(
                f"{path}: expected the ranking that stad evaluate writes, found {error}; "
                "evaluate the run again"
            ) from error


def unit_ranking(
    columns: EvaluationColumns, ranking: Ranking, clocks: Mapping[str, Clock]
) -> UnitRanking:
    """Cut into videos; or, with fewer than `FEW_VIDEOS`, into blocks of `BLOCK_SECONDS` of them,
    because drawing from a handful says little. Neighbouring frames are alike, so never into single
    frames."""
    videos = len(columns.video_names)
    if videos >= FEW_VIDEOS:
        of_image, count, words = columns.image_video, videos, f"{videos} videos"
    else:
        own = [clocks[name] for name in columns.video_names]
        seconds = seconds_in_videos(own, columns.image_video, columns.image_frame)
        block = np.floor((seconds + TICK) / BLOCK_SECONDS).astype(np.int64)
        key = columns.image_video * (block.max(initial=0) + 1) + block
        found, of_image = np.unique(key, return_inverse=True)
        count = len(found)
        words = f"{count} blocks of {BLOCK_SECONDS:g} s (only {videos} videos)"
    box, label = np.nonzero(columns.truth_labels)
    key = of_image[columns.truth_image[box]] * columns.num_classes + label
    truths = np.bincount(key, minlength=count * columns.num_classes)
    return UnitRanking(
        columns.names,
        ranking.bounds,
        ranking.score,
        ranking.true_positive,
        of_image[ranking.image],
        truths.reshape(count, columns.num_classes),
        words,
    )
