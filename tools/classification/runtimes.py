"""How a clip classifier is run: plain or compiled torch, or an exported graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.inference.runtimes import EXPORTED, RuntimeOptions, refuse_for_classifiers

if TYPE_CHECKING:
    import torch

    from stadet.classify.models.classifier import ClipClassifier
    from stadet.tools.classification.checkpoint import ClassifierFile


def open_for_runtime(path: str | Path, options: RuntimeOptions, head: int = 0) -> ClassifierFile:
    """A checkpoint, or a file of `stad export`, which runs by `onnx` or `openvino` alone.

    head: of a model of two data sets. UserError for options that classifiers do not have.
    """
    from stadet.tools.classification.checkpoint import open_classifier
    from stadet.tools.classification.exported import open_exported_classifier

    refuse_for_classifiers(options)
    if Path(path).suffix != EXPORTED:
        return open_classifier(path, head=head)
    options.expect_exported(path)
    return open_exported_classifier(path, options.runtime, options.precision, head)


def prepare_model(
    file: ClassifierFile, options: RuntimeOptions, device: torch.device
) -> ClipClassifier:
    """The classifier, run as the options say."""
    from stadet.classify.runtime.fixed_batch import FixedBatch
    from stadet.classify.runtime.onnx_export import example_inputs
    from stadet.classify.runtime.session_classifier import SessionClassifier
    from stadet.detect.view import pair

    if isinstance(file.model, SessionClassifier):
        return FixedBatch(file.model)
    if options.exported:
        from stadet.detect.runtime.onnx_export import CLASSIFIER_SCHEMA, read_description
        from stadet.tools.classification.exported import export_classifier, session_classifier

        content = export_classifier(file)
        description = read_description(content, str(file.path), CLASSIFIER_SCHEMA)
        return FixedBatch(
            session_classifier(content, description, options.runtime, options.precision)
        )
    model = file.model.to(device).eval()
    if options.runtime == "eager":
        return model
    from stadet.detect.runtime.compiled import compile_frozen, fold_for_inference

    size = pair(file.config.input.size)
    example = example_inputs(model, 1, file.config.sampling.frames, size)
    folded = fold_for_inference(model, *(x.to(device) for x in example.values()))
    return FixedBatch(compile_frozen(folded))
