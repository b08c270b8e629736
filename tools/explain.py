"""stad explain: what a classifier or a detector saw, as images and as a heat-map video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "what a model saw: Grad-CAM, guided backpropagation, activation maps"
EXAMPLES = """\
examples:
  stad explain clip.mp4 --checkpoint runs/handwash/best.pt --out seen
  stad explain clip.mp4 --checkpoint runs/handwash/best.pt --out seen --class Step_3 \\
      --method grad-cam guided-backpropagation activation
  stad explain clip.mp4 --checkpoint runs/i3d/best.pt --out seen --layer mixed_4f --weighting rms
  stad explain kitchen.mp4 --checkpoint runs/yolov3/best.pt --frame 120 --out seen
  stad explain clip.mp4 --checkpoint runs/i3d/best.pt --layers

Of a classifier the class that it answered is explained (or --class), on its evaluation clip; of a
detector the score of its best detection on a frame (or the best of --class). Each method gives a
video and a strip of images. Red is most, by the clip's own scale.
"""
METHODS = ("grad-cam", "guided-backpropagation", "activation")


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("explain", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("video", type=Path, help="a video file or a frame folder")
    add("--checkpoint", required=True, help="best.pt of stad train-classifier or stad train")
    add("--out", type=Path, metavar="DIR", help="folder of the images and videos")
    add("--method", nargs="+", choices=METHODS, default=["grad-cam"])
    add("--layer", help="by name (default: the model's last one with places)")
    add("--layers", action="store_true", help="print the names of the layers and stop")
    add("--class", dest="label", metavar="NAME", help="explain this class")
    add(
        "--weighting",
        choices=["mean", "rms"],
        default="mean",
        help="of Grad-CAM's gradients: rms divides by their root mean square",
    )
    add("--frame", type=int, help="of a detector: the frame (default: the middle)")
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.tools.inference.explain import explain, explainable_layers

    if args.layers:
        print("\n".join(explainable_layers(args.video, args.checkpoint)))
        return
    if args.out is None:
        raise UserError("--out: expected a folder for the images and videos")
    found = explain(
        args.video,
        args.checkpoint,
        args.out,
        methods=args.method,
        layer=args.layer,
        label=args.label,
        weighting=args.weighting,
        frame=args.frame,
        device=args.device,
        overwrite=args.overwrite,
    )
    print(f"{found.video}, frames {found.frames[0]} to {found.frames[-1]}: {found.answer}")
    for path in found.files:
        print(path)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
