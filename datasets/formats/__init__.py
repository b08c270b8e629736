"""Annotation formats, one a file: each reads to, and some write from, `AnnotationSet`.

`FORMATS` is what a data set file's `format` may say. A new format is one file and one entry.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import UserError, neighbours


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
    "cvat": Format("datasets.formats.cvat:read_cvat", ("action", "annotation_size")),
    "coco-video": Format("datasets.formats.coco_video:read_coco_video"),
}


def find_format(name: str) -> Format:
    """The format called `name`; UserError naming its neighbours otherwise."""
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"unknown format {name!r}{neighbours(name, FORMATS)}; known: {known}")
    return FORMATS[name]
