"""A classifier's answer for each video: the mean over its clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stadet.classify.training import logits_of
from stadet.detect.classification_batch import UNKNOWN, ClassificationBatch
from stadet.engine import distributed
from stadet.engine.signatures import expect_kind


@dataclass(frozen=True, eq=False, repr=False)
class Answers:
    """A classifier's answers, one row per video.

    Attributes:
        names: the classes.
        videos: names of the N videos.
        labels: (N,) int64 true classes, `UNKNOWN` where the truth is none of the classes or not
            given.
        probabilities: (N, C) float64; rows sum to 1.
        known: (N,) probability that the video shows one of the classes at all, NaN from a model
            without a binary head.
    """

    names: tuple[str, ...]
    videos: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    known: np.ndarray

    def __post_init__(self) -> None:
        expect_kind("Answers: names", self.names, "Sequence[str]")
        expect_kind("Answers: videos", self.videos, "Sequence[str]")
        expect_kind("Answers: labels", self.labels, "np.ndarray")
        expect_kind("Answers: probabilities", self.probabilities, "np.ndarray")
        shape = (len(self.videos), len(self.names))
        if self.probabilities.shape != shape or len(self.labels) != shape[0]:
            raise ValueError(
                f"Answers: expected probabilities {shape} and as many labels, found "
                f"{self.probabilities.shape} and {len(self.labels)}"
            )

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.videos)

    def __repr__(self) -> str:
        shown = [
            f"{video}: {name} {score:.2f}"
            for video, name, score in zip(
                self.videos[:5], self.predicted_names, self.confidence, strict=False
            )
        ]
        words = ", ".join([*shown, *([".."] if len(self) > 5 else [])])
        count = f"{len(self)} video{'' if len(self) == 1 else 's'}"
        return f"Answers({count}{': ' if words else ''}{words})"

    def __getitem__(self, rows: np.ndarray) -> Answers:
        picked = np.arange(len(self))[rows]
        return Answers(
            self.names,
            tuple(self.videos[i] for i in picked),
            self.labels[picked],
            self.probabilities[picked],
            self.known[picked],
        )

    @property
    def predicted(self) -> np.ndarray:
        """(N,) the most probable class."""
        return self.probabilities.argmax(axis=1)

    @property
    def predicted_names(self) -> tuple[str, ...]:
        """N names of the most probable classes."""
        return tuple(self.names[label] for label in self.predicted)

    @property
    def confidence(self) -> np.ndarray:
        """(N,) its probability."""
        return self.probabilities.max(axis=1) if len(self) else np.zeros(0)


def split_outputs(logits: Tensor, rejects: bool) -> tuple[Tensor, Tensor]:
    """Logits (B, outputs) to class probabilities (B, C) and P(known) (B,), NaN without the head."""
    logits = logits.float()
    if not rejects:
        return logits.softmax(1), logits.new_full((len(logits),), float("nan"))
    return logits[:, :-1].softmax(1), logits[:, -1].sigmoid()


@torch.inference_mode()
def classify(
    model: nn.Module,
    batches: Iterable[ClassificationBatch],
    names: Sequence[str],
    device: torch.device,
    *,
    rejects: bool = False,
    precision: torch.dtype | None = None,
) -> Answers:
    """The answers to every video of `batches`, the probabilities of its clips averaged.

    batches: this process's share; the processes' clips are put together. precision: autocast to
    bfloat16 or float16.
    """
    model = model.to(device).eval()
    rows: list[tuple[str, int, np.ndarray]] = []
    for batch in batches:
        moved = batch.to(device)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            logits = logits_of(model, moved)
        probabilities, known = split_outputs(logits, rejects)
        found = torch.cat([probabilities, known[:, None]], dim=1).double().cpu().numpy()
        for video, label, valid, row in zip(
            batch.videos, batch.labels.tolist(), batch.valid.tolist(), found, strict=True
        ):
            if valid:
                rows.append((video, label, row))
    rows = [row for part in distributed.gather_objects(rows) for row in part]
    return average_clips(rows, names)


def average_clips(rows: Iterable[tuple[str, int, np.ndarray]], names: Sequence[str]) -> Answers:
    """(video, label, C probabilities and P(known)) of each clip to one answer a video, in the
    order in which videos first appear by name."""
    by_video: dict[str, list[np.ndarray]] = {}
    labels: dict[str, int] = {}
    for video, label, row in rows:
        by_video.setdefault(video, []).append(row)
        labels[video] = label
    videos = tuple(sorted(by_video))
    empty = np.zeros((0, len(names) + 1))
    means = np.stack([np.mean(by_video[v], axis=0) for v in videos]) if videos else empty
    truth = np.array([labels.get(v, UNKNOWN) for v in videos], dtype=np.int64)
    return Answers(tuple(names), videos, truth, means[:, :-1], means[:, -1])
