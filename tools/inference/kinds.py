"""What a file of weights is: a detector or a clip classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stadet.engine.errors import UserError

Kind = Literal["detector", "classifier"]


def kind_of(path: str | Path) -> Kind:
    """The kind of a checkpoint, of a file of `stad export` or of ultralytics'.

    UserError for other files.
    """
    from stadet.detect.runtime.onnx_export import CLASSIFIER_SCHEMA
    from stadet.detect.ultralytics_models.checkpoint import is_ultralytics_file
    from stadet.engine.checkpoint import load_checkpoint
    from stadet.tools.inference.exported import read_exported
    from stadet.tools.inference.runtimes import EXPORTED

    if Path(path).suffix == EXPORTED:
        _, description = read_exported(path, None)
        classifies = description["schema"] == CLASSIFIER_SCHEMA
    elif is_ultralytics_file(path):
        classifies = False
    else:
        classifies = load_checkpoint(path).get("kind") == "classifier"
    return "classifier" if classifies else "detector"


def expect_one_kind(paths: list[Path]) -> Kind:
    """The kind of all these files. UserError where they are of both kinds."""
    kinds = {path: kind_of(path) for path in paths}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{path} (a {kind})" for path, kind in kinds.items())
        raise UserError(f"expected checkpoints of one kind, found {found}")
    return kinds[paths[0]]
