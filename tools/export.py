"""stad export: a checkpoint to an ONNX file, from uint8 frames to boxes, or clips to classes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    from stadet.detect.runtime.sessions import Arrays

CLIPS = 64  # of a calibration
SUMMARY = "write a checkpoint as an ONNX file for other programs"
EXAMPLES = """\
examples:
  stad export --checkpoint runs/yolov3/best.pt --out yolov3.onnx
  stad export --checkpoint runs/yowo/best.pt --out yowo.onnx --batch 1
  stad predict kitchen.mp4 --checkpoint yowo.onnx --runtime openvino --out kitchen.jsonl
  stad export --checkpoint runs/yowo/best.pt --out yowo_int8.onnx --int8 data/kitchen/videos
  stad export --checkpoint runs/handwash/best.pt --out handwash.onnx          # a classifier
  stad classify clips/ --checkpoint handwash.onnx --runtime openvino

detectors
inputs:   frames, uint8 RGB of the network's size: (batch, 3, H, W), or for YOWO clips
          (batch, T, 3, H, W) that end at the key frame; for recurrent models also state.*,
          zeros at the beginning of a stream, afterwards the outputs next.* of the frame before
outputs:  boxes (batch, K, 4) x1 y1 x2 y2 in network pixels, objectness (batch, K), scores
          (batch, K, classes), before non-maximum suppression
classifiers
inputs:   frames, uint8 RGB of the network's size (batch, T, 3, H, W); for some models also flow and
          hog (uint8 like frames) or keypoints (batch, T, K) float32
outputs:  logits (batch, outputs), probabilities (batch, classes), and of a model with a binary head
          known (batch): that the clip shows one of the classes at all
metadata: property "stad", JSON: class names, network size, anchors or sampling of the clips, the
          run's configuration
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("export", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--checkpoint", required=True, help="best.pt of a run")
    add("--out", required=True, help="the file to write (.onnx)")
    add("--batch", type=int, help="fix the batch (default: open; recurrent detectors: 1)")
    add("--head", type=int, default=0, help="of a classifier of two data sets: whose classes")
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
        args.checkpoint,
        args.out,
        batch=args.batch,
        head=args.head,
        int8=args.int8 or (),
        calibration_clips=clips,
    )
    print(f"exported: {path} ({path.stat().st_size / 2**20:.1f} MiB)")


@checked
def export(
    checkpoint: str | Path,
    out: str | Path,
    *,
    batch: int | None = None,
    head: int = 0,
    int8: str | Path | Sequence[str | Path] = (),
    calibration_clips: int = CLIPS,
) -> Path:
    """Write a checkpoint as an ONNX file, from uint8 frames to boxes or, of a classifier, classes.

    Args:
        checkpoint: `best.pt` of a run.
        out: the file to write (.onnx).
        batch: a fixed number of images, clips or lanes (default: open; recurrent detectors: 1).
        head: of a classifier of two data sets: whose classes.
        int8: videos or folders of videos to measure the ranges of 8-bit convolutions on; empty
            for float32.
        calibration_clips: places in that footage to look at, evenly spread.

    Returns:
        The path of the file.

    Raises:
        UserError: for another suffix, numbers below 1, and what is not a checkpoint.
    """
    from stadet.engine.errors import UserError
    from stadet.engine.files import atomic_write, path_list
    from stadet.engine.limits import expect_within
    from stadet.tools.inference.kinds import kind_of
    from stadet.tools.inference.runtimes import EXPORTED

    int8, out = path_list(int8), Path(out)
    if out.suffix != EXPORTED:
        raise UserError(f"--out: expected a name that ends in {EXPORTED}, found {out.name}")
    expect_within("--batch", batch, 1)
    expect_within("--calibration-clips", calibration_clips, 1)
    if Path(checkpoint).suffix == EXPORTED:
        raise UserError(f"--checkpoint {checkpoint}: expected a checkpoint, found an exported file")
    if kind_of(checkpoint) == "classifier":
        content = _classifier(checkpoint, batch, head, int8, calibration_clips)
    elif head != 0:
        raise UserError("--head: expected a classifier of two data sets, found a detector")
    else:
        content = _detector(checkpoint, batch, int8, calibration_clips)
    with atomic_write(out, "wb") as stream:
        stream.write(content)
    return out


def _detector(
    checkpoint: str | Path, batch: int | None, int8: Sequence[str | Path], clips: int
) -> bytes:
    from stadet.tools.inference.detectors import open_detector
    from stadet.tools.inference.exported import export_detector

    detector = open_detector(checkpoint)
    content = export_detector(detector, batch)
    if int8:
        from stadet.tools.inference.calibration import calibration_feeds

        feeds = calibration_feeds(content, detector.config.data, _sources(int8), clips)
        content = _quantise(content, feeds, keep_last=True)
    return content


def _classifier(
    checkpoint: str | Path, batch: int | None, head: int, int8: Sequence[str | Path], clips: int
) -> bytes:
    from stadet.tools.classification.checkpoint import open_classifier
    from stadet.tools.classification.exported import export_classifier

    file = open_classifier(checkpoint, head=head)
    content = export_classifier(file, batch)
    if int8:
        from stadet.tools.classification.spread import classifier_feeds

        feeds = classifier_feeds(file, _sources(int8), clips, batch)
        content = _quantise(content, feeds, keep_last=False)
    return content


def _sources(places: Sequence[str | Path]) -> dict[str, str | Path]:
    from stadet.tools.inference.sources import expand_sources

    return expand_sources([str(place) for place in places], cameras=False)


def _quantise(content: bytes, feeds: Iterator[Arrays], *, keep_last: bool) -> bytes:
    from stadet.detect.runtime.quantise import quantise_int8
    from stadet.detect.runtime.seal import seal, without_seal

    return seal(quantise_int8(without_seal(content), feeds, keep_last=keep_last))


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
