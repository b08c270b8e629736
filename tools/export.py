"""stad export: a checkpoint to an ONNX file, from uint8 frames to boxes and scores."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

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
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.engine.files import expect_absent

    expect_absent(args.out, overwrite=args.overwrite)
    if args.calibration_clips is not None and not args.int8:
        raise UserError("--calibration-clips: expected --int8 FOOTAGE with it, found none")
    clips = CLIPS if args.calibration_clips is None else args.calibration_clips
    path = export(
        args.checkpoint, args.out, batch=args.batch, int8=args.int8 or (), calibration_clips=clips
    )
    print(f"exported: {path} ({path.stat().st_size / 2**20:.1f} MiB)")


def export(
    checkpoint: str | Path,
    out: str | Path,
    *,
    batch: int | None = None,
    int8: Sequence[str | Path] = (),
    calibration_clips: int = CLIPS,
) -> Path:
    """Write a checkpoint as an ONNX file, from uint8 frames to boxes and scores.

    Args:
        checkpoint: `best.pt` of a run.
        out: the file to write (.onnx).
        batch: a fixed number of images, clips or lanes (default: open; recurrent models: 1).
        int8: videos or folders of videos to measure the ranges of 8-bit convolutions on; empty
            for float32.
        calibration_clips: places in that footage to look at, evenly spread.

    Returns:
        The path of the file.

    Raises:
        UserError: for another suffix, numbers below 1, and what is not a detector's checkpoint.
    """
    from stadet.engine.errors import UserError
    from stadet.engine.files import atomic_write
    from stadet.engine.limits import expect_within
    from stadet.tools.inference.detectors import open_detector
    from stadet.tools.inference.exported import export_detector
    from stadet.tools.inference.runtimes import EXPORTED

    out = Path(out)
    if out.suffix != EXPORTED:
        raise UserError(f"--out: expected a name that ends in {EXPORTED}, found {out.name}")
    expect_within("--batch", batch, 1)
    expect_within("--calibration-clips", calibration_clips, 1)
    detector = open_detector(checkpoint)
    content = export_detector(detector, batch)
    if int8:
        from stadet.detect.runtime.quantise import quantise_int8
        from stadet.detect.runtime.seal import seal, without_seal
        from stadet.tools.inference.calibration import calibration_feeds
        from stadet.tools.inference.sources import expand_sources

        sources = expand_sources([str(source) for source in int8], cameras=False)
        feeds = calibration_feeds(content, detector.config.data, sources, calibration_clips)
        content = seal(quantise_int8(without_seal(content), feeds))
    with atomic_write(out, "wb") as stream:
        stream.write(content)
    return out


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
