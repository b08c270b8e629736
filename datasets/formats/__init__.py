"""Annotation formats, one a file: each reads to, and some write from, `AnnotationSet`.

`FORMATS` is what a data set file's `format` may say. A new format is one file and one entry;
options that no format had before also become fields of `stadet.datasets.dataset.DatasetConfig`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from stadet.engine.errors import UserError, neighbours


@dataclass(frozen=True)
class Format:
    """A format's reader and how to find it, imported only when it is used.

    reader: `read(path, *, videos, names, findings, **options) -> AnnotationSet` as "module:name";
    options: the keys of a data set file that this reader takes besides.
    """

    reader: str
    options: tuple[str, ...] = ()

    def load_reader(self) -> Callable:
        module, _, name = self.reader.partition(":")
        return getattr(importlib.import_module(module), name)


FORMATS = {
    "cvat": Format("stadet.datasets.formats.cvat:read_cvat", ("action", "annotation_size")),
    "coco-video": Format(
        "stadet.datasets.formats.coco_video:read_coco_video", ("annotation_size", "first_frame")
    ),
    "yolo-txt": Format("stadet.datasets.formats.yolo_txt:read_yolo_txt", ("first_frame",)),
    "ucf24": Format("stadet.datasets.formats.ucf24:read_ucf24", ("annotation_size",)),
    "yowo": Format("stadet.datasets.formats.yowo_layout:read_yowo_layout", ("annotation_size",)),
    "act": Format("stadet.datasets.formats.act_pickle:read_act_pickle", ("annotation_size",)),
    "label-studio": Format("stadet.datasets.formats.label_studio:read_label_studio"),
    "fiftyone": Format("stadet.datasets.formats.fiftyone:read_fiftyone"),
    "jhmdb21": Format("stadet.datasets.formats.jhmdb21:read_jhmdb21"),
    "ava": Format(
        "stadet.datasets.formats.ava:read_ava",
        ("label_map", "excluded", "key_seconds", "first_second"),
    ),
}


def find_format(name: str) -> Format:
    """The format called `name`; UserError naming its neighbours otherwise."""
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"unknown format {name!r}{neighbours(name, FORMATS)}; known: {known}")
    return FORMATS[name]
