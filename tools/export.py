"""stad export: a checkpoint to an ONNX file, from uint8 frames to boxes and scores."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.tools.training.config import DataConfig

CLIPS = 64  # of a calibration
SUMMARY = "write a checkpoint as an ONNX file for other programs"
EXAMPLES = """\
examples:
  stad export --checkpoint runs/yolov3/best.pt --out yolov3.onnx
  stad export --checkpoint runs/yowo/best.pt --out yowo.onnx --batch 1
  stad predict kitchen.mp4 --checkpoint yowo.onnx --runtime openvino --out kitchen.jsonl
  stad export --checkpoint runs/yowo/best.pt --out yowo_int8.onnx --int8 data/kitchen/videos

inputs:   frames, uint8 RGB of the network's size: (batch, 3, H, W), or for YOWO clips
          (batch, T, 3, H, W) that end at the key frame; for recurrent models also state.*,
          zeros at the beginning of a stream, afterwards the outputs next.* of the frame before
outputs:  boxes (batch, K, 4) x1 y1 x2 y2 in network pixels, objectness (batch, K), scores
          (batch, K, classes), before non-maximum suppression
metadata: property "stad", JSON: class names, network size, anchors, the run's configuration
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("export", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--checkpoint", required=True, help="best.pt of a run")
    add("--out", required=True, help="the file to write (.onnx)")
    add("--batch", type=int, help="fix the batch (default: open; recurrent: 1)")
    add(
        "--int8",
        nargs="+",
        metavar="FOOTAGE",
        help="convolutions in 8-bit integers, their ranges measured on these videos or folders of "
        "videos (no annotations needed): faster on CPUs, above all by --runtime openvino",
    )
    add(
        "--calibration-clips",
        type=int,
        metavar="N",
        help=f"places in the footage of --int8 to look at, evenly spread (default: {CLIPS})",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.engine.files import atomic_write
    from stadet.tools.inference.detectors import open_detector
    from stadet.tools.inference.exported import export_detector
    from stadet.tools.inference.runtimes import EXPORTED

    out = Path(args.out)
    if out.suffix != EXPORTED:
        raise UserError(f"--out: expected a name that ends in {EXPORTED}, found {out.name}")
    if args.batch is not None and args.batch < 1:
        raise UserError(f"--batch: expected at least 1, found {args.batch}")
    if args.calibration_clips is not None:
        if not args.int8:
            raise UserError("--calibration-clips: expected --int8 FOOTAGE beside it, found none")
        if args.calibration_clips < 1:
            raise UserError(
                f"--calibration-clips: expected at least 1, found {args.calibration_clips}"
            )
    detector = open_detector(args.checkpoint)
    content = export_detector(detector, args.batch)
    if args.int8:
        content = _quantised(content, detector.config.data, args)
    with atomic_write(out, "wb") as stream:
        stream.write(content)
    print(f"exported: {out} ({len(content) / 2**20:.1f} MiB)")


def _quantised(content: bytes, data: DataConfig, args: argparse.Namespace) -> bytes:
    from stadet.detect.runtime.quantise import quantise_int8
    from stadet.tools.inference.calibration import calibration_feeds
    from stadet.tools.inference.sources import expand_sources

    sources = expand_sources(args.int8, cameras=False)
    clips = args.calibration_clips or CLIPS
    return quantise_int8(content, calibration_feeds(content, data, sources, clips))


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
