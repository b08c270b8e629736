"""Truth that may be wrong: found, listed and shown."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from stadet.datasets.dataset import Dataset
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.detections.reader import read_detections
from stadet.detect.report.suspects import draw_suspects, suspects_page
from stadet.detect.structures import AnnotationSet
from stadet.detect.suspects.suspect import KINDS, NEEDS_DETECTIONS, Suspect, find_suspects
from stadet.engine.csv_files import CsvWriter
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

_log = logging.getLogger(__name__)

SCHEMA = "stad-suspects/1"
FILES = ("suspects.csv", "suspects.json", "suspects.html")


def read_held_out(paths: Sequence[str | Path], annotations: AnnotationSet) -> DetectionSet | None:
    """The detections of several folds as one set; None without files.

    Raises:
        UserError: for files that cannot be read, that share a video, or have none of the videos.
    """
    if not paths:
        return None
    videos: dict[str, VideoDetections] = {}
    source: dict[str, str | Path] = {}
    floor = 0.0
    for path in paths:
        found = read_detections(path, annotations)
        for note in found.notes:
            _log.warning(note)
        floor = max(floor, found.score_floor)
        for video in found:
            before = videos.get(video.name)
            if not len(video) and (before is not None or not len(video.processed)):
                continue  # a file that names no processed frames stands for all videos
            if before is not None and len(before):
                raise UserError(
                    f"{path}: video {video.name!r} is in {source[video.name]} too; of each video "
                    "expected the detections of one model, which did not train on it"
                )
            videos[video.name], source[video.name] = video, path
    if not any(len(video) for video in videos.values()):
        raise UserError(
            f"--suspects: expected detections of {', '.join(list(annotations.videos)[:3])}, found "
            f"none in {', '.join(map(str, paths))}"
        )
    return DetectionSet(annotations.names, floor, videos)


def list_suspects(
    dataset: Dataset,
    annotations: AnnotationSet,
    held_out: Sequence[str | Path],
    out: str | Path | None,
    pictures: int = 20,
) -> list[Suspect]:
    """Find suspects, and write `suspects.csv`, `suspects.json` and `suspects.html` into `out`.

    Args:
        dataset: the data set, for its footage.
        annotations: all of it or one side.
        held_out: detections files; empty: only what the annotation itself tells.
        out: folder (None: nothing is written).
        pictures: of each kind on the page.

    Returns:
        The suspects, the most suspect first.

    Raises:
        UserError: as `read_held_out`.
    """
    detections = read_held_out(held_out, annotations)
    suspects = find_suspects(annotations, detections)
    if out is None:
        return suspects
    out = Path(out)
    _write_csv(out / FILES[0], suspects)
    notes = list(_notes(annotations, detections))
    content = {
        "schema": SCHEMA,
        "detections": [str(path) for path in held_out],
        "notes": notes,
        "suspects": [suspect.as_dict() for suspect in suspects],
    }
    with atomic_write(out / FILES[1]) as stream:
        json.dump(content, stream, indent=1)
    shown = [
        suspect for kind in KINDS for suspect in [s for s in suspects if s.kind == kind][:pictures]
    ]
    drawn = draw_suspects(
        shown, annotations, detections, lambda name, frames: dataset.open_video(name).read(frames)
    )
    facts = [
        ("data set", str(dataset.path)),
        ("tracks", f"{sum(len(set(v.track_ids.tolist())) for v in annotations):,}"),
        ("held-out detections", ", ".join(map(str, held_out)) or "none"),
    ]
    page = suspects_page(suspects, drawn, title="Suspect annotations", facts=facts, notes=notes)
    with atomic_write(out / FILES[2]) as stream:
        stream.write(page)
    return suspects


def summary(suspects: Sequence[Suspect], most: int = 10) -> str:
    """How many of each kind, and the first of all."""
    counts = Counter(suspect.kind for suspect in suspects)
    lines = ["Suspects: " + (", ".join(f"{counts[k]} {k}" for k in KINDS if counts[k]) or "none")]
    for s in suspects[:most]:
        frames = f"{s.first}" if s.first == s.last else f"{s.first} to {s.last}"
        what = f"{s.video} {frames}, {s.label}: {s.suggestion}"
        lines.append(f"  {s.rank:>3}. {s.kind} ({s.score:.2f}) {what}")
    return "\n".join(lines)


def _notes(annotations: AnnotationSet, detections: DetectionSet | None) -> Iterable[str]:
    if detections is None:
        yield (
            "Without detections only jumps and duplicates are found; "
            f"{', '.join(NEEDS_DETECTIONS)} need detections of models that did not train on "
            "these videos."
        )
        return
    left = [name for name in annotations.videos if name not in detections.videos]
    if left:
        yield f"No detections of {len(left)} videos (first: {left[0]}): jumps and duplicates only."
    if detections.score_floor > 0.15:
        yield (
            f"The detections leave out scores below {detections.score_floor:g}, so that weak "
            "support looks like none; stad predict --score-floor 0.05 keeps it."
        )


def _write_csv(path: Path, suspects: Sequence[Suspect]) -> None:
    with atomic_write(path) as stream:
        writer = CsvWriter(stream)
        head = ["rank", "kind", "score", "video", "track", "first", "last", "frame"]
        writer.writerow([*head, "x1", "y1", "x2", "y2", "label", "suggestion"])
        for suspect in suspects:
            row = suspect.as_dict()
            writer.writerow(
                [*(row[key] for key in head), *suspect.box, row["label"], row["suggestion"]]
            )
