"""Reads a detections file: `stad-detections/1` as JSON Lines, plain or compressed, or as Parquet;
and COCO results with their truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from stadet.detect.detections.columns import DetectionColumns, assemble
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.detections.json_lines import SCHEMA, parsed_header, read_header, read_rows
from stadet.detect.detections.packed import is_packed, unpacked
from stadet.detect.detections.parquet import is_parquet, parquet_header, read_parquet
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import finite_number, guarded, matched_label, open_lines
from stadet.engine.signatures import checked

__all__ = ["SCHEMA", "DetectionSet", "DetectionsWriter", "VideoDetections", "read_detections"]


@checked
@guarded("a detections file")
def read_detections(
    path: str | os.PathLike,
    truth: AnnotationSet | Sequence[str] | None = None,
    *,
    ground_truth_json: str | os.PathLike | None = None,
    strict: bool = False,
) -> DetectionSet:
    """Read a detections file into columns.

    A last line that was cut off (a killed program) is left out.

    Args:
        path: `stad-detections/1`: JSON Lines, also compressed (.jsonl.gz, .jsonl.zst), or Parquet
            (.parquet); or COCO results.
        truth: an annotation set (its order of classes is used, its videos and lengths are checked)
            or an order of class names; by default the header's classes are used.
        ground_truth_json: the COCO-video file whose image and category ids a COCO results file
            uses.
        strict: any fault is a `UserError`; by default it is counted, left out and noted in
            `DetectionSet.notes`.

    Raises:
        UserError: for a file that is missing, empty or not a detections file.
    """
    path = Path(path)
    findings = Findings(path.name)
    annotations = truth if isinstance(truth, AnnotationSet) else None
    if is_parquet(path):
        header, ids, names = parsed_header(parquet_header(path), f"{path}: header")
        wanted, column_of = _classes(ids, names, truth, findings)
        columns = read_parquet(path, column_of, findings)
        score_floor = _score_floor(header, path)
    else:
        wanted, score_floor, columns = _read_text(path, truth, ground_truth_json, findings)
    result = assemble(columns, wanted, score_floor, annotations, findings)
    if strict:
        findings.raise_if_any()
    return result


def read_floor(path: str | os.PathLike) -> float:
    """The score floor that the header of a `stad-detections/1` file says; `UserError` as above."""
    path = Path(path)
    if is_parquet(path):
        return _score_floor(parsed_header(parquet_header(path), f"{path}: header")[0], path)
    with text_of(path) as stream:
        return _score_floor(read_header(stream, path)[0], path)


def _read_text(
    path: Path,
    truth: AnnotationSet | Sequence[str] | None,
    ground_truth_json: str | os.PathLike | None,
    findings: Findings,
) -> tuple[tuple[str, ...], float, DetectionColumns]:
    """Classes, score floor and columns of a file of JSON."""
    with text_of(path) as stream:
        if _first_character(stream) == b"[":
            from stadet.detect.detections.coco_results import read_coco_results

            names, columns = read_coco_results(path, ground_truth_json, findings)
            ids: dict[int | str, int] = {i: i for i in range(len(names))}
            wanted, column_of = _classes(ids, names, truth, findings)
            lookup = np.array([column_of[i] for i in range(len(names))] + [-1], dtype=np.int64)
            columns.classes = lookup[columns.classes]
            return wanted, 0.0, columns
        header, ids, names = read_header(stream, path)
        score_floor = _score_floor(header, path)
        wanted, column_of = _classes(ids, names, truth, findings)
        keyed = {str(key): column for key, column in column_of.items()}
        return wanted, score_floor, read_rows(stream, keyed, findings)


def _classes(
    ids: dict[int | str, int],
    names: Sequence[str],
    truth: AnnotationSet | Sequence[str] | None,
    findings: Findings,
) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """The classes that are wanted, and the column of each category's id among them."""
    wanted = tuple(names) if truth is None else _names_of(truth)
    return wanted, _match_names(ids, names, wanted, findings)


def _score_floor(header: dict, path: Path) -> float:
    floor = header.get("score_floor")
    return 0.0 if floor is None else finite_number(floor, f"{path}: score_floor")


def text_of(path: Path) -> IO[bytes]:
    """The text of a plain or packed file, at its beginning; the caller closes it."""
    if is_packed(path) and path.is_file():
        return unpacked(path)
    return open_lines(path, "a detections file")


def _names_of(truth: AnnotationSet | Sequence[str]) -> tuple[str, ...]:
    return truth.names if isinstance(truth, AnnotationSet) else tuple(truth)


def _first_character(stream: IO[bytes]) -> bytes:
    begin = stream.tell()  # after a byte order mark
    start = stream.read(256).lstrip()[:1]
    stream.seek(begin)
    return start


def _match_names(
    ids: dict, names: Sequence[str], wanted: Sequence[str], findings: Findings
) -> dict:
    """Category id -> column of `wanted`, -1 where the class is unknown there."""
    place = {name: column for column, name in enumerate(wanted)}
    free = [name for name in wanted if name not in names]
    for name in names:
        near = None if name in place else matched_label(name, free)
        if near is not None:
            place[name] = place[near]
            free.remove(near)
            what = "classes that differ from the ground truth's by case or blanks alone"
            findings.add(what, 1, [f"{name!r}"], f"taken for it ({near!r})")
    unknown = [name for name in names if name not in place]
    if len(unknown) == len(names) and names:
        raise UserError(
            f"{findings.source}: expected classes of the ground truth ({', '.join(wanted[:3])}, "
            f"..), found none of them ({', '.join(names[:3])}, ..); give the matching ground truth"
        )
    findings.add(
        "classes that are not in the ground truth", len(unknown), map(repr, unknown), "left out"
    )
    return {key: place.get(names[index], -1) for key, index in ids.items()}
