"""Reads COCO results: a JSON list of `{image_id, category_id, bbox [x, y, w, h], score}`.

Image and category ids mean nothing without the ground truth they come from, so the COCO-video file
must be given. Every row becomes one box with one class; objectness is unknown (NaN).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from stadet.detect.detections.columns import DetectionColumns
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import read_json, safe_label, safe_name, shown, whole_number

KEYS = ("image_id", "category_id", "bbox", "score")


def read_coco_results(
    path: str | os.PathLike, ground_truth_json: str | os.PathLike | None, findings: Findings
) -> tuple[list[str], DetectionColumns]:
    """Class names in the ground truth's order, and the rows in columns (classes index the names).

    Rows of unknown images or categories, and rows without the four keys, are counted in
    `findings` and left out. Raises `UserError` where the ground truth is not given or either file
    is not JSON.
    """
    if ground_truth_json is None:
        raise UserError(
            f"{path}: expected the COCO-video ground truth of the COCO results (their image and "
            "category ids come from it), found none; give it with --ground-truth"
        )
    truth = read_json(ground_truth_json, "COCO-video JSON")
    results = read_json(path, "COCO results")
    try:
        where = str(ground_truth_json)
        video_names = {video["id"]: safe_name(video["name"], where) for video in truth["videos"]}
        images = {
            image["id"]: (video_names[image["video_id"]], whole_number(image["frame_id"], where))
            for image in truth["images"]
        }
        categories = {category["id"]: place for place, category in enumerate(truth["categories"])}
        names = [safe_label(category["name"], where) for category in truth["categories"]]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{ground_truth_json}: expected COCO-video JSON with videos, images (video_id, "
            f"frame_id) and categories, found no {error}; convert it with stad convert"
        ) from None

    if not isinstance(results, list):
        raise UserError(f"{path}: expected a list of results, found {shown(results)}")
    rows = list(enumerate(results, start=1))
    rows = _keep(rows, findings, "rows without image_id, category_id, bbox, score", _fault)
    rows = _keep(
        rows,
        findings,
        "rows of images that are not in the ground truth",
        lambda row: "" if row["image_id"] in images else f"image_id {shown(row['image_id'])}",
    )
    rows = _keep(
        rows,
        findings,
        "rows of categories that are not in the ground truth",
        lambda row: (
            "" if row["category_id"] in categories else f"category_id {shown(row['category_id'])}"
        ),
    )
    given = [str(row["id"])[:40] for _, row in rows if "id" in row]
    findings.add("repeated ids of rows", len(given) - len(set(given)), [], "used as they are")
    places = [images[row["image_id"]] for _, row in rows]
    codes = {name: code for code, name in enumerate(dict.fromkeys(name for name, _ in places))}
    count = len(rows)
    return names, DetectionColumns(
        list(codes),
        np.array([codes[name] for name, _ in places], dtype=np.int64),
        np.array([frame for _, frame in places], dtype=np.int64),
        np.array([row["bbox"] for _, row in rows], dtype=np.float64).reshape(-1, 4),
        np.full(count, np.nan),
        np.array([number for number, _ in rows], dtype=np.int64),
        np.arange(count),
        np.array([categories[row["category_id"]] for _, row in rows], dtype=np.int64),
        np.array([row["score"] for _, row in rows], dtype=np.float64),
        [],
    )


def _fault(row: Any) -> str:
    if not isinstance(row, dict) or any(key not in row for key in KEYS):
        return shown(row)
    numbers = isinstance(row["bbox"], list) and [*row["bbox"], row["score"]]
    if not numbers or len(numbers) != 5 or not all(map(_is_number, numbers)):
        return shown(row)
    keys = (row["image_id"], row["category_id"])
    return "" if all(isinstance(key, (int, str)) for key in keys) else shown(row)


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 10**300)


def _keep(rows: list, findings: Findings, what: str, fault) -> list:
    faults = [fault(row) for _, row in rows]
    bad = [f"row {number}: {f}" for (number, _), f in zip(rows, faults, strict=True) if f]
    findings.add(what, len(bad), bad, "left out")
    return [row for row, f in zip(rows, faults, strict=True) if not f] if bad else rows
