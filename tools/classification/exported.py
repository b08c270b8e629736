"""Classifiers' checkpoints as ONNX files, and back as classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stadet.classify.rejection import Rejection
from stadet.classify.runtime.onnx_export import example_inputs, export_classifier_onnx
from stadet.classify.runtime.session_classifier import SessionClassifier
from stadet.datasets.clips.timing import read_timing
from stadet.datasets.splits.split import Split
from stadet.detect.runtime.onnx_export import CLASSIFIER_SCHEMA
from stadet.detect.runtime.seal import seal
from stadet.detect.runtime.sessions import SESSIONS
from stadet.detect.view import pair
from stadet.engine.config import from_dict
from stadet.engine.errors import UserError
from stadet.tools.classification.checkpoint import ClassifierFile, checkpoint_description
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.inference.exported import incomplete_metadata, read_exported

BATCHES = (1, 3)  # that an open batch is tried with
NEAR = 1e-3  # of the largest logit's size


def export_classifier(file: ClassifierFile, batch: int | None = None) -> bytes:
    """The ONNX file of an opened checkpoint, of its head alone, for clips as it was trained on.

    batch: a fixed number of clips; None leaves it open. Classes, input, sampling, rejection and the
    configuration are inside as JSON, in the metadata property `stad`. UserError where the network
    computes with the number of clips so that it cannot be left open.
    """
    config = file.config
    size, length = pair(config.input.size), config.sampling.frames
    description: dict[str, Any] = {
        # which footage it was trained on stays with the checkpoint
        **checkpoint_description(config, [file.names], Split({}).record(), file.timing),
        "rejection": file.rejection.to_dict(),
        "inputs": list(file.model.inputs),
        "clip_length": length,
        "network_size": list(size),
        "input": "RGB uint8; frames (batch, T, 3, H, W), spaced and resized as the configuration's "
        "sections sampling and input say",
    }
    model = file.model.cpu().eval()
    example = example_inputs(model, batch or 2, length, size)
    content = export_classifier_onnx(
        model, example, rejects=file.rejects, description=description, open_batch=batch is None
    )
    if batch is None:
        _check_open_batch(content, file, length, size)
    return seal(content)


def session_classifier(
    content: bytes, description: dict[str, Any], runtime: str, precision: str = "fp32"
) -> SessionClassifier:
    """A file's content in a session. UserError for a missing package."""
    session = SESSIONS[runtime](content, precision)
    return SessionClassifier(session, description["inputs"], description["clip_length"])


def open_exported_classifier(
    path: str | Path, runtime: str, precision: str = "fp32", head: int = 0
) -> ClassifierFile:
    """A classifier's file of `stad export` as a classifier that runs by `runtime`.

    UserError for files of others, of detectors, and whose metadata lacks something.
    """
    content, description = read_exported(path, CLASSIFIER_SCHEMA)
    where = f"exported file {path}"
    if head != 0:
        raise UserError(
            f"{where}: expected head 0, as a file has one head only, found {head}; export the "
            f"checkpoint with --head {head}"
        )
    try:
        config = from_dict(ClassifierConfig, description["config"], where)
        heads = tuple(tuple(names) for names in description["heads"])
        rejection = Rejection(**description["rejection"])
        (_,) = heads
        model = session_classifier(content, description, runtime, precision)
        split = description["split"]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise incomplete_metadata(where, error) from error
    _check_inputs(model, config, where)
    timing = read_timing(description, where)
    return ClassifierFile(Path(path), model, heads, 0, config, split, rejection, timing)


def _check_inputs(model: SessionClassifier, config: ClassifierConfig, where: str) -> None:
    """UserError unless the graph takes the clips that the metadata describes."""
    graph, said = model.session.inputs, config.sampling.frames
    if set(graph) != set(model.inputs):
        raise UserError(
            f"{where}: its metadata says that it takes {', '.join(model.inputs)}, its graph takes "
            f"{', '.join(graph)}; write it again with stad export"
        )
    shape = graph[model.inputs[0]][1]
    if len(shape) < 2 or shape[1] != said or model.clip_length != said:
        found = shape[1] if len(shape) > 1 else "no clips"
        raise UserError(
            f"{where}: its metadata says clips of {said} frames, its graph takes {found}; write it "
            "again with stad export"
        )


@torch.no_grad()
def _check_open_batch(
    content: bytes, file: ClassifierFile, length: int, size: tuple[int, int]
) -> None:
    """The graph against torch for other numbers of clips than it was traced with."""
    try:
        session = SESSIONS["onnx"](content)
    except UserError:  # not installed: whoever runs the file sees to it
        return
    model = SessionClassifier(session, file.model.inputs, length)
    for batch in BATCHES:
        inputs = example_inputs(file.model, batch, length, size, seed=batch).values()
        wanted = file.model(*inputs)
        try:
            found = model(*inputs)
        except UserError:
            raise
        except Exception as error:  # onnxruntime's own
            raise _closed(file) from error
        if not torch.allclose(found, wanted, rtol=0, atol=NEAR * max(1.0, wanted.abs().max())):
            raise _closed(file)


def _closed(file: ClassifierFile) -> UserError:
    return UserError(
        f"checkpoint {file.path}: {file.config.model.name} computes with the number of clips, "
        "which an exported graph cannot leave open; give --batch 1"
    )
