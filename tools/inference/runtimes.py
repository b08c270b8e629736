"""`--runtime`, `--precision`, `--temporal-every`, `--feature-bank`: how a checkpoint is run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from stadet.detect.detector import Detector
    from stadet.tools.inference.detectors import DetectorFile

SESSION_RUNTIMES = ("onnx", "openvino", "tensorrt")  # of exported graphs
RUNTIMES = ("eager", "compiled", *SESSION_RUNTIMES)
PRECISIONS = ("fp32", "bf16")
EXPORTED = ".onnx"


@dataclass(frozen=True)
class RuntimeOptions:
    """Options for running a detector or a clip classifier.

    Attributes:
        runtime: plain torch, folded and compiled torch, or an exported graph.
        precision: of the arithmetic.
        temporal_every: run YOWO's 3D branch on every k-th frame only.
        feature_bank: average YOWO's 3D features over 64 frames.
    """

    runtime: str = "eager"
    precision: str = "fp32"
    temporal_every: int = 1
    feature_bank: bool = False

    def __post_init__(self) -> None:
        from stadet.engine.errors import UserError

        for name, known in (("runtime", RUNTIMES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"{name}: expected one of {', '.join(known)}, found {getattr(self, name)!r}"
                )

    @classmethod
    def for_file(
        cls,
        path: str | Path,
        runtime: str | None = None,
        precision: str = "fp32",
        temporal_every: int = 1,
        feature_bank: bool = False,
    ) -> RuntimeOptions:
        """Options for a file; runtime: None takes plain torch, for an exported file onnxruntime."""
        usual = "onnx" if Path(path).suffix == EXPORTED else "eager"
        return cls(runtime or usual, precision, temporal_every, feature_bank)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> RuntimeOptions:
        """Of the arguments that `add_runtime_arguments` stands for, and the checkpoint, among
        others."""
        named = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        return cls.for_file(given["checkpoint"], **named)

    @property
    def exported(self) -> bool:
        return self.runtime in SESSION_RUNTIMES

    @property
    def autocast(self) -> torch.dtype | None:
        """Precision of `stadet.detect.inference.detect`; sessions have their own precision."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" and not self.exported else None

    def expect_exported(self, path: str | Path) -> None:
        """UserError unless these options run the exported file at `path`."""
        from stadet.engine.errors import UserError

        if not self.exported:
            raise UserError(
                f"{path}: expected --runtime onnx or openvino for an exported file, found "
                f"{self.runtime}"
            )


def add_runtime_arguments(parser: argparse.ArgumentParser, *, detectors: bool = True) -> None:
    """The options of a verb; detectors: those that only detectors have, too."""
    add = parser.add_argument
    add(
        "--runtime",
        choices=RUNTIMES,
        help="eager (the default): plain torch; compiled: batch norms folded, torch.compile, slow "
        "to start; onnx (the default of .onnx files), openvino: on the CPU, need pip install -e "
        "'.[runtimes]'; tensorrt: on an NVIDIA GPU, needs onnxruntime-gpu and TensorRT",
    )
    add("--precision", choices=PRECISIONS, default="fp32")
    if not detectors:
        return
    add(
        "--temporal-every",
        type=int,
        default=1,
        metavar="K",
        help="YOWO: run the 3D branch on every K-th frame only",
    )
    add(
        "--feature-bank",
        action="store_true",
        help="YOWO: average the 3D features of eight 8-frame clips around each frame",
    )


def refuse_for_classifiers(options: RuntimeOptions) -> None:
    """UserError for options that only YOWO has."""
    if options.temporal_every != 1 or options.feature_bank:
        _refuse(options, "expected a YOWO checkpoint, found a classifier")


def choose_device(name: str | torch.device | None, options: RuntimeOptions) -> torch.device:
    """The device asked for, or the GPU if there is one.

    UserError for a device that is not there, and for sessions off the CPU.
    """
    import torch

    from stadet.engine.errors import UserError

    name = None if name is None else str(name)
    if options.exported:
        if name not in (None, "cpu"):
            place = "the first GPU" if options.runtime == "tensorrt" else "the CPU"
            raise UserError(
                f"--runtime {options.runtime}: runs on {place}, found --device {name}; leave it "
                "out, or use --runtime compiled"
            )
        return torch.device("cpu")
    there = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    if name in {None, "cuda"} and len(there) > 1:
        return torch.device("cuda")
    if name is not None and name not in there:
        raise UserError(f"--device: expected one of {', '.join(there)}, found {name!r}")
    return torch.device(name or "cpu")


def open_for_runtime(path: str | Path, options: RuntimeOptions) -> DetectorFile:
    """A checkpoint, or a file of `stad export`, which runs by `onnx` or `openvino` alone."""
    from stadet.tools.inference.detectors import open_detector
    from stadet.tools.inference.exported import open_exported

    if Path(path).suffix != EXPORTED:
        return open_detector(path)
    options.expect_exported(path)
    return open_exported(path, options.runtime, options.precision)


def prepare_model(
    detector: DetectorFile, options: RuntimeOptions, device: torch.device
) -> Detector:
    """The detector as `stadet.detect.inference.detect` takes it, run as the options say.

    UserError for options that do not suit the model.
    """
    import torch

    from stadet.detect.runtime.fixed_shape import FixedShape
    from stadet.detect.runtime.session_detector import SessionDetector

    if (options.temporal_every != 1 or options.feature_bank) and options.exported:
        _refuse(options, "needs --runtime eager or compiled")
    model = detector.model.to(device)
    if isinstance(model, SessionDetector):
        return FixedShape(model)
    if options.exported:
        from stadet.tools.inference.exported import export_detector, session_detector

        content = export_detector(detector)
        return FixedShape(session_detector(content, options.runtime, options.precision))
    if options.runtime == "eager":
        return _variant(model, options)
    from stadet.detect.runtime.compiled import compile_frozen, fold_for_inference

    steps = model.clip_length if model.predicts == "last_frame" else 1
    size = detector.config.data.size
    example = torch.zeros(1, steps, 3, *size, dtype=torch.uint8, device=device)
    compiled = compile_frozen(_variant(fold_for_inference(model, example), options))
    return compiled if options.feature_bank else FixedShape(compiled)


def _variant(model: Detector, options: RuntimeOptions) -> Detector:
    """YOWO with fewer or longer looks of its 3D branch; the model itself without such options."""
    from stadet.yowo.model import YOWO

    if options.temporal_every == 1 and not options.feature_bank:
        return model
    if not isinstance(model, YOWO):
        _refuse(options, f"expected a YOWO checkpoint, found {type(model).__name__}")
    if options.feature_bank:
        if options.temporal_every != 1:
            _refuse(options, "cannot be combined with --temporal-every, it has clips of its own")
        from stadet.yowo.feature_bank import FeatureBank

        return FeatureBank(model)
    from stadet.yowo.streaming import TemporalEvery

    return TemporalEvery(model, options.temporal_every)


def _refuse(options: RuntimeOptions, why: str) -> None:
    from stadet.engine.errors import UserError

    raise UserError(f"{'--feature-bank' if options.feature_bank else '--temporal-every'}: {why}")
