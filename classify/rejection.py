"""Rejection, "none of these": thresholds learnt on the validation side.

Two ways (the hand-washing report, future work): a threshold on the probability of the best class,
which needs no other footage; and a binary head, trained with videos that show none of the classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from stadet.classify.answers import Answers
from stadet.detect.classification_batch import UNKNOWN

KEEP = 0.95  # share of the right answers of the validation side that stay above the threshold


@dataclass(frozen=True)
class Rejection:
    """An answer is "none of these" below `confidence` (of the best class) or `known` (of the binary
    head; None without one)."""

    confidence: float = 0.0
    known: float | None = None

    def rejects(self, answers: Answers) -> np.ndarray:
        """(N,) bool: none of the classes."""
        none = answers.confidence < self.confidence
        return none if self.known is None else none | (answers.known < self.known)

    def to_dict(self) -> dict[str, float | None]:
        return asdict(self)


def learn_rejection(answers: Answers) -> Rejection:
    """Thresholds from the validation side's answers.

    With a binary head and videos of no class: the value with the best balanced accuracy between
    known and unknown. Otherwise a confidence that `KEEP` of the right answers reach.
    """
    shown = answers.labels != UNKNOWN
    if shown.any() and not shown.all() and np.isfinite(answers.known).all():
        return Rejection(known=_best_balance(answers.known, shown))
    right = shown & (answers.predicted == answers.labels)
    if not right.any():
        return Rejection()
    return Rejection(confidence=float(np.quantile(answers.confidence[right], 1 - KEEP)))


def _best_balance(score: np.ndarray, positive: np.ndarray) -> float:
    """The threshold between two scores with the largest recall of both sides together."""
    from sklearn.metrics import roc_curve

    false_positive, true_positive, thresholds = roc_curve(positive, score)
    best = int((true_positive - false_positive).argmax())
    lower = score[score < thresholds[best]]
    below = float(lower.max()) if len(lower) else 0.0
    return float((min(thresholds[best], 1.0) + below) / 2)  # between the two nearest scores
