"""The figures of a classifier's answers: what `metrics.json` and the report hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from stadet.classify.answers import Answers
from stadet.classify.rejection import Rejection
from stadet.detect.classification_batch import UNKNOWN

INTERVAL = 0.95


def score(answers: Answers) -> dict[str, float]:
    """Figures of a validation: top1, top5, mean_class (mean of the classes' recalls), loss (mean
    negative log likelihood). Videos of no class take no part; NaN without videos."""
    shown = answers[answers.labels != UNKNOWN]
    if not len(shown):
        return dict.fromkeys(("top1", "top5", "mean_class", "loss"), float("nan"))
    of_truth = shown.probabilities[np.arange(len(shown)), shown.labels]
    recalls = class_recalls(shown)
    return {
        "top1": float((shown.predicted == shown.labels).mean()),
        "top5": top_k(shown, 5),
        "mean_class": float(np.nanmean(recalls)),
        "loss": float(-np.log(of_truth.clip(1e-12)).mean()),
    }


def top_k(answers: Answers, k: int) -> float:
    """Share of videos whose class is among the k most probable; between equal ones the
    first class counts as the more probable."""
    best = np.argsort(-answers.probabilities, axis=1, kind="stable")[:, :k]
    return float((best == answers.labels[:, None]).any(axis=1).mean())


def class_recalls(answers: Answers) -> np.ndarray:
    """(C,) share of each class's videos that were recognised, NaN for a class without videos."""
    matrix = confusion(answers)
    totals = matrix.sum(axis=1)
    right = matrix.diagonal().astype(np.float64)
    return np.divide(right, totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def confusion(answers: Answers) -> np.ndarray:
    """(C, C) int64: rows true, columns predicted."""
    from sklearn.metrics import confusion_matrix

    shown = answers.labels != UNKNOWN
    classes = np.arange(len(answers.names))
    if not shown.any():
        return np.zeros((len(classes), len(classes)), dtype=np.int64)
    return confusion_matrix(answers.labels[shown], answers.predicted[shown], labels=classes)


def figures(answers: Answers, rejection: Rejection | None = None) -> dict[str, Any]:
    """Everything the report says, as plain data (None where a figure is not defined)."""
    shown = answers[answers.labels != UNKNOWN]
    matrix = confusion(answers)
    hits, truths, given = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    right = int(hits.sum())
    result = {name: _plain(value) for name, value in score(answers).items()}
    result |= {
        "videos": len(shown),
        "right": right,
        "top1_interval": accuracy_interval(right, len(shown)),
        "per_class": {
            name: {
                "videos": int(truths[c]),
                "recall": _share(hits[c], truths[c]),
                "precision": _share(hits[c], given[c]),
                "f1": _share(2 * hits[c], truths[c] + given[c]),
            }
            for c, name in enumerate(answers.names)
        },
        "confusion": matrix.tolist(),
        "rejection": rejection_figures(answers, rejection) if rejection else None,
    }
    return result


def rejection_figures(answers: Answers, rejection: Rejection) -> dict[str, Any]:
    """Thresholds, and how many videos of a class and of none they turn away."""
    none = rejection.rejects(answers)
    shown = answers.labels != UNKNOWN
    return {
        **rejection.to_dict(),
        "known_kept": float((~none[shown]).mean()) if shown.any() else None,
        "unknown_rejected": float(none[~shown].mean()) if (~shown).any() else None,
        "unknown_videos": int((~shown).sum()),
    }


def accuracy_interval(right: int, videos: int) -> list[float] | None:
    """Wilson's 95% interval of a share of independent videos."""
    if not videos:
        return None
    from scipy.stats import binomtest

    found = binomtest(right, videos).proportion_ci(INTERVAL, method="wilson")
    return [float(found.low), float(found.high)]


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
