"""Which stretches of new footage to annotate next, as a table and as tasks for CVAT."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import IO, Any

from stadet.datasets.annotate_next import ChoiceOptions, Stretch, choose_stretches
from stadet.datasets.dataset import load_dataset
from stadet.datasets.footage.catalog import VideoCatalog
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.detections.reader import read_detections
from stadet.engine.csv_files import CsvWriter
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_directory, atomic_write
from stadet.engine.signatures import checked
from stadet.tools.data.pre_annotate import cvat_labels, paths_of_videos

_log = logging.getLogger(__name__)


@checked
def annotate_next(
    sources: str | Path | Sequence[str | Path],
    detections: Sequence[str | Path],
    out: str | Path,
    *,
    data: str | Path | None = None,
    options: ChoiceOptions | None = None,
) -> list[Stretch]:
    """Choose stretches of footage to annotate next.

    `out` gets `stretches.csv`, `jobs.json` (the same as tasks of CVAT), `jobs.sh` (a command of
    cvat-cli for each) and `labels.json`.

    Args:
        sources: the footage: video files, frame folders, or folders of them.
        detections: one detections file over the footage, or two of different detectors.
        out: a new folder.
        data: data set file of what is annotated already: its frames are left out, and its rare
            classes looked for.
        options: how many and how long.

    Returns:
        The stretches, the first to annotate first.

    Raises:
        UserError: for other than one or two detections files, files that do not fit, and where
            nothing is left to choose.
    """
    if len(detections) not in (1, 2):
        raise UserError(f"--detections: expected one file or two, found {len(detections)}")
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    catalog = VideoCatalog(paths_of_videos(given))
    annotated = load_dataset(data).annotations if data is not None else None
    names = annotated.names if annotated is not None else None
    first = _read(detections[0], names)
    second = _read(detections[1], first.names) if len(detections) == 2 else None
    fps = {name: catalog[name].fps for name in catalog if name in first.videos}
    if not fps:
        raise UserError(
            f"{detections[0]}: expected detections of {', '.join(list(catalog)[:3])}, found those "
            f"of {', '.join(list(first.videos)[:3]) or 'no video'}"
        )
    found = choose_stretches(first, second, fps, annotated, options)
    with atomic_directory(out) as root:
        _write(root, found, catalog, first.names)
    return found


def _read(path: str | Path, names: Sequence[str] | None) -> DetectionSet:
    found = read_detections(path, names)
    for note in found.notes:
        _log.warning(note)
    return found


def _write(
    root: Path, stretches: Sequence[Stretch], catalog: VideoCatalog, names: tuple[str, ...]
) -> None:
    with atomic_write(root / "stretches.csv") as stream:
        writer = CsvWriter(stream)
        writer.writerow([field.name for field in fields(Stretch)])
        for stretch in stretches:
            writer.writerow(astuple(stretch))
    with atomic_write(root / "labels.json") as stream:
        json.dump(cvat_labels(names), stream, indent=1, ensure_ascii=False)
    jobs = [
        {
            "name": f"{s.rank:03d} {s.video} {s.first}-{s.last}",
            "video": str(catalog.paths[s.video].resolve()),
            "start_frame": s.first,
            "stop_frame": s.last,
            **{key: asdict(s)[key] for key in ("worth", "label")},
        }
        for s in stretches
    ]
    with atomic_write(root / "jobs.json") as stream:
        json.dump(jobs, stream, indent=1, ensure_ascii=False)
    with atomic_write(root / "jobs.sh") as stream:
        write_jobs(stream, jobs)


def write_jobs(stream: IO[str], jobs: Sequence[Mapping[str, Any]]) -> None:
    """A command of cvat-cli for each job (name, video, start_frame, stop_frame)."""
    stream.write("# CVAT='--server-host https://cvat.example.com --auth USER' sh jobs.sh\n")
    for job in jobs:
        command = ["task", "create", str(job["name"]), "--labels", "labels.json"]
        for key in ("start_frame", "stop_frame"):
            command += [f"--{key}", str(job[key])]
        arguments = shlex.join([*command, "local", str(job["video"])])
        stream.write(f"cvat-cli $CVAT {arguments}\n")


def summary(stretches: Sequence[Stretch], most: int = 10) -> str:
    """The first stretches to read."""
    frames = sum(s.last - s.first + 1 for s in stretches)
    lines = [f"{len(stretches)} stretches, {frames:,} frames"]
    for s in stretches[:most]:
        what = f"doubt {s.doubt:.2f}, rareness {s.rareness:.2f}, {s.label or 'nothing detected'}"
        lines.append(f"  {s.rank:>3}. {s.video} {s.first} to {s.last}: {what}")
    return "\n".join(lines)
