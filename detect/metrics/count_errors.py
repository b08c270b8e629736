"""Counts against those of the truth: meals, stock over time, use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stadet.detect.metrics.matching import NONE, match_best_free, score_rank
from stadet.detect.metrics.temporal import Spans, span_pairs
from stadet.detect.scene.counted import SceneCounts, StockOfVideo

SAME_MEAL = 0.1  # temporal IoU from which a meal is one of the truth's


@dataclass(frozen=True)
class MealErrors:
    """Meals against the truth's.

    Attributes:
        truths: meals of the truth.
        found: meals found.
        matched: of them, those that are a meal of the truth (temporal IoU of 0.1 or more).
        exact: share of the truth's meals that were found with the right number of items.
        exact_content: .. with the right number of each item.
        items: mean difference of the number of items, without its sign, over the truth's meals; a
            meal that was not found has none.
        total_items: items in all meals of the truth, and in those found.
    """

    truths: int
    found: int
    matched: int
    exact: float
    exact_content: float
    items: float
    total_items: tuple[int, int]


@dataclass(frozen=True)
class StockErrors:
    """One bin of one video, frame by frame.

    Attributes:
        mean_absolute: mean over the watched time of the difference, without its sign.
        right: share of the watched time at which the stock is right.
        moves: pieces taken and put in the truth, and as found.
        final: stock at the end in the truth, and as found.
    """

    mean_absolute: float
    right: float
    moves: tuple[int, int]
    final: tuple[int, int]


@dataclass(frozen=True)
class UseErrors:
    """One tool: seconds and number of uses, in the truth and as found."""

    seconds: tuple[float, float]
    uses: tuple[int, int]

    @property
    def relative(self) -> float:
        """Error of the seconds as a share of the truth's; NaN where it has none."""
        truth, found = self.seconds
        return abs(found - truth) / truth if truth else float("nan")


@dataclass(frozen=True)
class CountErrors:
    """Counts against the truth.

    Attributes:
        meals: None where none are counted.
        stock: by (video, bin).
        use: by tool.
    """

    meals: MealErrors | None
    stock: dict[tuple[str, str], StockErrors]
    use: dict[str, UseErrors]

    @property
    def stock_error(self) -> float:
        """Mean of `mean_absolute` over videos and bins; NaN without any."""
        return _mean([row.mean_absolute for row in self.stock.values()])

    @property
    def stock_right(self) -> float:
        """Mean of `right` over videos and bins; NaN without any."""
        return _mean([row.right for row in self.stock.values()])

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values."""
        stock = [
            {"video": video, "bin": name, **asdict(row)}
            for (video, name), row in self.stock.items()
        ]
        return {
            "meals": asdict(self.meals) if self.meals else None,
            "stock": {"mean_absolute": self.stock_error, "right": self.stock_right, "bins": stock},
            "use": {
                name: {**asdict(row), "relative": row.relative} for name, row in self.use.items()
            },
        }


def count_errors(found: SceneCounts, truth: SceneCounts) -> CountErrors:
    """Errors of counts of the same scene and videos, over the same watched frames."""
    return CountErrors(
        _meal_errors(found, truth) if truth.rules.meals else None,
        {
            (right.video.name, right.bin): _stock_errors(own, right)
            for own, right in zip(found.stock, truth.stock, strict=True)
        },
        {
            tool: UseErrors(
                (truth.total("seconds", tool), found.total("seconds", tool)),
                (round(truth.total("uses", tool)), round(found.total("uses", tool))),
            )
            for tool in truth.rules.use
        },
    )


def _meal_errors(found: SceneCounts, truth: SceneCounts) -> MealErrors:
    own = [meal for video in found.videos for meal in video.meals]
    right = [meal for video in truth.videos for meal in video.meals]
    match = _match(_spans(found), _spans(truth))
    partner = {int(t): own[i] for i, t in enumerate(match) if t != NONE}
    pairs = [(meal, partner.get(number)) for number, meal in enumerate(right)]
    items = [(meal.items, other.items if other else 0) for meal, other in pairs]
    return MealErrors(
        len(right),
        len(own),
        len(partner),
        _mean([o is not None and m.items == o.items for m, o in pairs]),
        _mean([o is not None and m.content == o.content for m, o in pairs]),
        _mean([abs(a - b) for a, b in items]),
        (sum(meal.items for meal in right), sum(meal.items for meal in own)),
    )


def _match(found: Spans, truth: Spans) -> np.ndarray:
    """(N,) the truth of each found meal or NONE; those that overlap one best choose first."""
    pairs = span_pairs(found, truth)
    best = np.zeros(len(found))
    np.maximum.at(best, pairs.detection, pairs.iou)
    return match_best_free(pairs, score_rank(best), SAME_MEAL).truth


def _spans(counts: SceneCounts) -> Spans:
    return Spans.build(
        [
            (number, 0, meal.start, meal.stop, 1.0)
            for number, video in enumerate(counts.videos)
            for meal in video.meals
        ]
    )


def _stock_errors(found: StockOfVideo, truth: StockOfVideo) -> StockErrors:
    frames, weights = truth.video.frames, truth.video.lasts
    off = np.abs(found.at(frames) - truth.at(frames))
    watched = weights.sum()
    return StockErrors(
        float((off * weights).sum() / watched) if watched else float("nan"),
        float(((off == 0) * weights).sum() / watched) if watched else float("nan"),
        (len(truth.moves), len(found.moves)),
        (truth.final, found.final),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
