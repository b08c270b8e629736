"""Scoring given tubes: video-mAP, events and ids without detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stadet.datasets.dataset import load_dataset
from stadet.detect.metrics.happened import Happened, happened
from stadet.detect.metrics.protocols import get_protocol
from stadet.detect.metrics.video_map import THRESHOLDS, VideoMAPResult, video_map_of_tubes
from stadet.detect.report.figures import plain
from stadet.detect.report.markdown import event_lines
from stadet.detect.structures import AnnotationSet
from stadet.detect.tubes.events import EventOptions
from stadet.detect.tubes.file import read_tubes
from stadet.detect.tubes.linking import LinkOptions
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError, neighbours
from stadet.engine.files import atomic_write
from stadet.engine.limits import expect_within
from stadet.tools.evaluation.evaluate import truth_of

SCHEMA = "stad-tube-evaluation/1"


@dataclass(frozen=True, eq=False)
class TubeEvaluation:
    """Evaluation of given tubes.

    Attributes:
        means: video-mAP by threshold or range of thresholds (fractions of 1).
        result: AP of each class at each of the thresholds that were asked for.
        protocol: name of the protocol.
        videos: how many videos were scored.
        happened: events and ids against the truth's.
        notes: what was left out, one sentence each.
    """

    means: dict[str, float]
    result: VideoMAPResult
    protocol: str
    videos: int
    happened: Happened
    notes: tuple[str, ...]

    def as_dict(self) -> dict:
        """JSON-ready (NaN becomes None)."""
        result = self.result
        return plain(
            {
                "schema": SCHEMA,
                "video_map": self.means,
                "events": self.happened.as_dict(),
                "protocol": self.protocol,
                "per_class": {
                    name: {
                        "ap": {f"{t:g}": result.at(t)[c] for t in result.named},
                        "truth_tubes": result.truths[c],
                        "tubes": result.detected[c],
                    }
                    for c, name in enumerate(result.names)
                },
                "data": {
                    "videos": self.videos,
                    "truth_tubes": result.truths.sum(),
                    "tubes": result.detected.sum(),
                },
                "notes": list(self.notes),
            }
        )

    def markdown(self, title: str) -> str:
        """A report of two tables."""
        result = self.result
        lines = [f"# {title}", "", f"- Protocol: {self.protocol}"]
        lines += [
            f"- Scored on: {self.videos:,} videos, {result.truths.sum():,} truth tubes, "
            f"{result.detected.sum():,} given tubes",
            "",
            "| video-mAP at | % |",
            "|---|---:|",
            *(f"| {name} | {_percent(value)} |" for name, value in self.means.items()),
            "",
            "## Classes",
            "",
            "| class | truth tubes | tubes | "
            + " | ".join(f"AP@{t:g}" for t in result.named)
            + " |",
            "|---|---:|---:|" + "---:|" * len(result.named),
        ]
        for c in np.flatnonzero(result.truths):
            name = result.names[c].replace("|", "\\|")
            aps = " | ".join(_percent(result.at(t)[c]) for t in result.named)
            lines.append(f"| {name} | {result.truths[c]:,} | {result.detected[c]:,} | {aps} |")
        lines += ["", "## Events", "", *event_lines(plain(self.happened.as_dict()))]
        lines += ["", "## Notes", "", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"


def evaluate_tubes(
    tubes: str | Path,
    *,
    ground_truth: str | Path | None = None,
    data: str | Path | None = None,
    side: str | None = None,
    out: str | Path | None = None,
    protocol: str = "voc",
    thresholds: Sequence[float] | None = None,
    threshold: float | None = None,
    title: str | None = None,
) -> TubeEvaluation:
    """Score a tube file: video-mAP, events and ids.

    Args:
        tubes: `stad-tubes/1`, as `stad tubes` writes.
        ground_truth: COCO-video JSON; may take the place of the data set's own annotations.
        data: data set file.
        side: score only this side of the data set's split ("train", "val", "test").
        out: folder for `metrics.json` and `report.md` (None: nothing is written).
        protocol: "multisports" counts as that data set's script does; the others as the literature
            on UCF101-24 and JHMDB-21 does.
        thresholds: spatio-temporal overlaps (default: 0.1, 0.2, 0.5, 0.75).
        threshold: least score of the tubes that become events (default: 0.3, as of `log_events`).
        title: heading of the report (default: the tube file's name and the side).

    Raises:
        UserError: for files that cannot be read or do not fit each other.
    """
    get_protocol(protocol)
    thresholds = tuple(THRESHOLDS if thresholds is None else thresholds)
    for overlap in thresholds:
        if not 0 < overlap <= 1:
            raise UserError(f"--thresholds: expected overlaps above 0, up to 1, found {overlap}")
    expect_within("--threshold", threshold, 0, 1)
    options = EventOptions() if threshold is None else EventOptions(min_score=threshold)
    if not (ground_truth or data):
        raise UserError("expected --ground-truth or --data to score against, found neither")
    everything, annotations = truth_of(ground_truth, load_dataset(data) if data else None, side)
    found, notes = _fitting(Path(tubes), read_tubes(tubes), everything)
    metric = video_map_of_tubes(annotations, found, protocol=protocol)
    evaluation = TubeEvaluation(
        metric.figures(thresholds),
        metric.compute(thresholds),
        protocol,
        len(annotations.videos),
        happened(annotations, found, options),
        notes,
    )
    if out is not None:
        _write(Path(out), evaluation, title or " ".join(filter(None, (Path(tubes).stem, side))))
    return evaluation


def _fitting(path: Path, tubes: TubeSet, truth: AnnotationSet) -> tuple[TubeSet, tuple[str, ...]]:
    """The tubes under the truth's order of classes, without videos that the truth does not hold."""
    unknown = [name for name in tubes.names if name not in truth.names]
    if unknown:
        raise UserError(
            f"{path}: class {unknown[0]!r} is none of the truth's"
            f"{neighbours(unknown[0], truth.names)}; expected {', '.join(truth.names[:8])}"
        )
    column = [truth.names.index(name) for name in tubes.names]
    videos, others, gap = {}, [], LinkOptions().max_gap
    for video in tubes:
        known = truth.videos.get(video.name)
        if known is None:
            others.append(video.name)
            continue
        for number, tube in enumerate(video.tubes):
            if tube.stop > known.num_frames:
                raise UserError(
                    f"{path}: video {video.name!r}: tube {number} ends on frame {tube.stop - 1} of "
                    f"{known.num_frames}; the tubes belong to another cut of the video"
                )
        own = [replace(tube, label=column[tube.label]) for tube in video.tubes]
        videos[video.name] = VideoTubes(video.name, own, video.fps, video.num_frames)
    notes = []
    if others:
        notes.append(f"{len(others):,} videos without truth left out, the first {others[0]!r}")
    if any(not video.looked_at.all() for video in truth):
        notes.append(
            f"frames that nobody looked at count on neither side; more than {gap} end a truth tube"
        )
    return TubeSet(truth.names, videos, tubes.linking), tuple(notes)


def _write(folder: Path, evaluation: TubeEvaluation, title: str) -> None:
    import json

    with atomic_write(folder / "metrics.json") as stream:
        json.dump(evaluation.as_dict(), stream, indent=2, allow_nan=False)
        stream.write("\n")
    with atomic_write(folder / "report.md") as stream:
        stream.write(evaluation.markdown(title))


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"
