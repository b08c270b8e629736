"""Draft annotations of videos for CVAT: a detector's tracks, thinned, with doubts marked."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stadet.datasets.drafts import Draft, DraftOptions, draft_annotations
from stadet.datasets.footage.catalog import VideoCatalog, find_video_paths
from stadet.datasets.footage.info import find_video
from stadet.datasets.formats.cvat_writer import UNCERTAIN, write_cvat
from stadet.datasets.splits.ranges import mask_to_ranges
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.detections.reader import read_detections
from stadet.engine.csv_files import CsvWriter
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_directory, atomic_write
from stadet.engine.reading import path_below
from stadet.engine.signatures import checked

_log = logging.getLogger(__name__)

THINNED = 1e-3  # pixels: drafts are piecewise linear already, up to the rounding of a file


@dataclass(frozen=True, eq=False)
class PreAnnotation:
    """Drafts of videos, as they were written.

    Attributes:
        folder: where they lie.
        names: class names.
        drafts: by the name of the video.
    """

    folder: Path
    names: tuple[str, ...]
    drafts: dict[str, Draft]

    def text(self) -> str:
        """Figures to read."""
        drafts = self.drafts.values()
        boxes = sum(len(d.annotations.boxes) for d in drafts)
        keys = sum(d.keyframes for d in drafts)
        tracks = sum(len(np.unique(d.annotations.track_ids)) for d in drafts)
        doubts = sum(int(d.uncertain.sum()) for d in drafts)
        error = max((d.error for d in drafts), default=0.0)
        return (
            f"{self.folder}: {len(self.drafts)} videos, {tracks:,} tracks, {boxes:,} boxes from "
            f"{keys:,} keyframes (at most {error:.2f} px off), {doubts:,} boxes uncertain"
        )


@checked
def pre_annotate(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    detections: str | Path | None = None,
    hands: bool = False,
    names: Sequence[str] | None = None,
    options: DraftOptions | None = None,
    device: str | None = None,
) -> PreAnnotation:
    """Draft CVAT tracks of videos for a person to correct.

    `out` gets `annotations/<video>.xml` (CVAT for video 1.1, with a checkbox "uncertain"),
    `labels.json` (the labels of a CVAT task), `uncertain.csv` (what to look at first) and
    `dataset.yaml`, which reads the corrected annotations.

    Args:
        sources: video files, frame folders, or folders of them.
        out: a new folder.
        checkpoint: a detector to run, `best.pt` or `.onnx`.
        detections: a detections file instead.
        hands: MediaPipe's palm detector instead; the class is "hand".
        names: order of classes (default: the detector's).
        options: of tracks and thinning.
        device: of the checkpoint.

    Raises:
        UserError: unless exactly one of `checkpoint`, `detections` and `hands` is given, for files
            that cannot be read, and where `out` holds something.
    """
    chosen = [
        name
        for name, on in (
            ("--checkpoint", checkpoint),
            ("--detections", detections),
            ("--hands", hands),
        )
        if on
    ]
    if len(chosen) != 1:
        raise UserError(
            "expected one of --checkpoint, --detections and --hands, found "
            f"{' and '.join(chosen) or 'none'}"
        )
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out: expected a new or an empty folder, found files in {out}")
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    catalog = VideoCatalog(paths_of_videos(given))
    with _detections(given, checkpoint, detections, hands, names, device, catalog) as found:
        drafts, left = {}, []
        for video in found:
            name = find_video(video.name, catalog)
            if name is None:
                left.append(video.name)
                continue
            drafts[name] = draft_annotations(video, catalog[name], options)
    if left:
        _log.warning(f"{len(left)} videos without footage left out (first: {left[0]})")
    if not drafts:
        raise UserError(f"expected detections of {', '.join(list(catalog)[:3])}, found none")
    with atomic_directory(out) as root:
        _write(root, out, given, found.names, drafts)
    return PreAnnotation(out, found.names, drafts)


def paths_of_videos(sources: Sequence[str | Path]) -> dict[str, Path]:
    """Name -> path of the videos of several sources; UserError for two of one name."""
    paths: dict[str, Path] = {}
    for source in sources:
        for name, path in find_video_paths(Path(source)).items():
            if name in paths:
                raise UserError(f"two videos are called {name!r}: {paths[name]} and {path}")
            paths[name] = path
    return paths


@contextlib.contextmanager
def _detections(
    sources: Sequence[str | Path],
    checkpoint: str | Path | None,
    detections: str | Path | None,
    hands: bool,
    names: Sequence[str] | None,
    device: str | None,
    catalog: VideoCatalog,
) -> Iterator[DetectionSet]:
    if detections is not None:
        found = read_detections(detections, names)
        for note in found.notes:
            _log.warning(note)
        yield found
    elif hands:
        from stadet.tools.data.hands import detect_hands

        yield detect_hands(catalog)
    else:
        from stadet.tools.inference.predict import predict

        assert checkpoint is not None
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "detections.jsonl"
            predict(sources, checkpoint, place, device=device)
            yield read_detections(place, names)


def _write(
    root: Path, out: Path, sources: Sequence[str | Path], names: tuple[str, ...], drafts: dict
) -> None:
    looked_at: dict[str, Any] = {}
    for name, draft in drafts.items():
        exact = write_cvat(
            path_below(root / "annotations", f"{name}.xml"),
            draft.annotations,
            names,
            keyframe_tolerance=THINNED,
            uncertain=draft.uncertain,
        )
        if not exact:
            looked_at[name] = mask_to_ranges(draft.annotations.looked_at)
    with atomic_write(root / "labels.json") as stream:
        json.dump(cvat_labels(names), stream, indent=1, ensure_ascii=False)
    with atomic_write(root / "uncertain.csv") as stream:
        writer = CsvWriter(stream)
        writer.writerow(["video", "track", "label", "first", "last", "reason"])
        for name, draft in drafts.items():
            for s in draft.spans:
                writer.writerow([name, s.track, names[s.label], s.first, s.last, s.reason])
    videos = os.path.relpath(sources[0], out) if len(sources) == 1 else "videos"
    content: dict[str, Any] = {
        "format": "cvat",
        "videos": videos,
        "annotations": "annotations",
        "names": list(names),
        "split": {"method": "videos", "val": 0.0},  # a single short video has no second side
    }
    if looked_at:
        content["looked_at"] = looked_at
    with atomic_write(root / "dataset.yaml") as stream:
        yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True, width=96)


def cvat_labels(names: Sequence[str]) -> list[dict[str, Any]]:
    """Labels for a CVAT task (its "Raw" label editor, or `cvat-cli task create --labels`)."""
    attribute = {
        "name": UNCERTAIN,
        "mutable": True,
        "input_type": "checkbox",
        "default_value": "false",
        "values": ["false"],
    }
    return [{"name": name, "type": "rectangle", "attributes": [attribute]} for name in names]
