"""Digests of a data set at the beginning of a run, by which a resumed run finds changes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from stadet.datasets.dataset import Dataset
from stadet.detect.structures import VideoAnnotations

SHOWN = 3


def dataset_identity(dataset: Dataset) -> dict[str, Any]:
    """Plain data for a checkpoint: classes, the split, each video's content and annotations."""
    split = dataset.split.record()
    return {
        "names": list(dataset.names),
        "split": split["digest"],
        "videos": dict(split["video_digests"]),
        "annotations": {v.name: annotations_digest(v) for v in dataset.annotations},
        "reverses": dict(dataset.reverses),
        "flip_labels": dict(dataset.flip_labels),
    }


def annotations_digest(video: VideoAnnotations) -> str:
    """16 hexadecimal digits that change with any frame, box, label or time of a video."""
    digest = hashlib.sha256()
    for field in dataclasses.fields(video):
        value = getattr(video, field.name)
        digest.update(field.name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()[:16]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Changes between two identities, in words; entries that one of them lacks are left out."""
    found = []
    for key, noun in (("names", "the classes"), ("reverses", "reverses"), ("flip_labels", "")):
        if key in before and before[key] != now.get(key):
            found.append(f"{noun or key} ({_list(before[key])} before, {_list(now[key])} now)")
    for key, noun in (("videos", "the content of"), ("annotations", "the annotations of")):
        old, new = before.get(key), now.get(key)
        if old is None or new is None:
            continue
        changed = sorted(n for n in old.keys() & new.keys() if old[n] != new[n])
        if changed:
            found.append(f"{noun} {_list(changed)}")
        if key == "videos" or "videos" not in before:
            gone, added = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
            found += [f"{_list(gone)} gone"] * bool(gone) + [f"{_list(added)} added"] * bool(added)
    if "split" in before and before["split"] != now.get("split"):
        found.append(f"the split ({before['split']} before, {now.get('split')} now)")
    return found


def _list(values: Any) -> str:
    names = [repr(value) for value in values]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more
