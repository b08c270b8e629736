"""stad explain: what a classifier or a detector saw, as images and as a heat-map video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from stadet.classify.explain.grad_cam import Target
    from stadet.datasets.footage.video import Video

SUMMARY = "what a model saw: Grad-CAM, guided backpropagation, activation maps"
EXAMPLES = """\
examples:
  stad explain clip.mp4 --checkpoint runs/handwash/best.pt --out seen
  stad explain clip.mp4 --checkpoint runs/handwash/best.pt --out seen --class Step_3 \\
      --method grad-cam guided-backpropagation activation
  stad explain clip.mp4 --checkpoint runs/i3d/best.pt --out seen --layer mixed_4f --weighting rms
  stad explain kitchen.mp4 --checkpoint runs/yolov3/best.pt --frame 120 --out seen \\
      --layer backbone.stages.4
  stad explain clip.mp4 --checkpoint runs/i3d/best.pt --layers

Of a classifier the class that it answered is explained (or --class), on its evaluation clip; of a
detector the score of its best detection on a frame (or the best of --class). Each method gives a
video and a strip of images. Red is most, by the clip's own scale.
"""
METHODS = ("grad-cam", "guided-backpropagation", "activation")
WIDTH = 480  # least width of the pictures, pixels
STRIP = 8  # images of a strip


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
    return parser


def run(args: argparse.Namespace) -> None:
    import torch

    from stadet.datasets.footage.video import open_video
    from stadet.engine.checkpoint import load_checkpoint
    from stadet.engine.errors import UserError

    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    video = open_video(args.video)
    is_classifier = load_checkpoint(args.checkpoint).get("kind") == "classifier"
    find = _classifier_question if is_classifier else _detector_question
    model, names, inputs, indices, ask = find(args, video, device)
    if args.layers:
        from stadet.classify.explain.layers import layer_names

        print("\n".join(layer_names(model)))
        return
    if args.out is None:
        raise UserError("--out: expected a folder for the images and videos")
    target, words = ask(_label(args.label, names))
    print(f"{video.name}, frames {indices[0]} to {indices[-1]}: {words}")
    for method in args.method:
        pictures = explain_clip(model, inputs, method, target, args.layer, args.weighting)
        step = max(1, round((indices[-1] - indices[0]) / max(len(indices) - 1, 1)))
        for path in write_pictures(args.out, f"{video.name}-{method}", pictures, video.fps / step):
            print(path)


def explain_clip(
    model: torch.nn.Module,
    inputs: list[Tensor],
    method: str,
    target: Target,
    layer: str | None,
    weighting: str,
) -> np.ndarray:
    """Pictures (T, h, w, 3) uint8 of one clip: its frames under heat, or signed gradients."""
    import numpy as np

    from stadet.classify.explain.explanation import explain
    from stadet.classify.explain.guided_backpropagation import guided_backpropagation
    from stadet.classify.explain.heat import heat_frames, signed_images

    frames = inputs[0][0].permute(0, 2, 3, 1).cpu().numpy()  # (T, H, W, 3)
    if method == "guided-backpropagation":
        signed = guided_backpropagation(model, inputs, target)[0]
        return np.stack([_enlarge(image) for image in signed_images(signed)])
    heat = explain(model, inputs, method, target, layer=layer, weighting=weighting)[0]
    large = np.stack([_enlarge(frame) for frame in frames])
    warm = np.stack([_enlarge(h) for h in heat.cpu().numpy()])
    return np.stack(list(heat_frames(large, warm)))


def write_pictures(folder: Path, name: str, pictures: np.ndarray, fps: float) -> list[Path]:
    """`NAME.mp4` of all pictures and `NAME.png`, a strip of some; their paths."""
    import cv2
    import numpy as np

    from stadet.datasets.footage.writer import VideoWriter
    from stadet.engine.files import atomic_path

    safe = name.replace("/", "_")
    film, strip = folder / f"{safe}.mp4", folder / f"{safe}.png"
    with VideoWriter(film, pictures.shape[1:3], fps) as writer:
        for picture in pictures:
            writer.write(picture)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, STRIP).round().astype(int))
    with atomic_path(strip) as temporary:
        cv2.imwrite(str(temporary), np.hstack(list(pictures[chosen]))[..., ::-1])
    return [film, strip]


def _classifier_question(args: argparse.Namespace, video: Video, device: torch.device):
    """Model, class names, its inputs for the evaluation clip, the frames, and what to ask."""
    import torch

    from stadet.classify.explain.grad_cam import class_target
    from stadet.datasets.labelled.clip_sampling import evaluation_clips
    from stadet.detect.classification_batch import collate_labelled
    from stadet.engine.errors import UserError
    from stadet.tools.classification.checkpoint import open_classifier
    from stadet.tools.classification.video_answers import VideoClassifier

    if args.frame is not None:
        raise UserError("--frame is for detectors; a classifier is asked about its whole clip")
    file = open_classifier(args.checkpoint, device)
    clips = evaluation_clips(len(video), file.config.sampling)
    frames = clips[len(clips) // 2]
    ((_, clip),) = VideoClassifier(file, device).inputs_of(video, [frames])
    batch = collate_labelled([clip]).to(device)
    inputs = [batch.inputs[name] for name in file.model.inputs]

    def ask(label: int | None) -> tuple[Target, str]:
        with torch.inference_mode():
            logits = file.model(*inputs)[0, : len(file.names)].float().softmax(0)
        label = int(logits.argmax()) if label is None else label
        return class_target(label), f"{file.names[label]} {float(logits[label]):.3f}"

    return file.model, file.names, inputs, [int(i) for i in frames], ask


def _detector_question(args: argparse.Namespace, video: Video, device: torch.device):
    """The same of a detector, on the clip that ends at a frame."""
    import numpy as np
    import torch

    from stadet.classify.explain.grad_cam import detection_target
    from stadet.datasets.clips.samplers import key_frame_clip
    from stadet.datasets.labelled.clip_stream import stream_clips
    from stadet.detect.view import View
    from stadet.engine.errors import UserError
    from stadet.tools.inference.detectors import open_detector

    file = open_detector(args.checkpoint, device)
    frame = len(video) // 2 if args.frame is None else args.frame
    if not 0 <= frame < len(video):
        raise UserError(f"--frame: expected 0 to {len(video) - 1}, found {frame}")
    if args.layer is None and not args.layers and set(args.method) - {"guided-backpropagation"}:
        raise UserError("expected --layer of a detector; --layers prints their names")
    step = getattr(file.model, "clip_step", 1)
    indices = np.array(key_frame_clip(frame, file.model.clip_length, step))
    data = file.config.data
    view = View.fit(video.size, tuple(data.size), data.resize)
    ((_, frames),) = stream_clips(video, [indices], view)
    inputs = [torch.from_numpy(frames).permute(0, 3, 1, 2)[None].to(device)]  # (1, T, 3, H, W)

    def ask(label: int | None) -> tuple[Target, str]:
        with torch.inference_mode():
            found = file.model.decode(file.model(*inputs)[0])
        image = len(found.scores) - 1  # the last frame's
        scores = found.scores[image]  # (K, C)
        of_class = scores.amax(1) if label is None else scores[:, label]
        best = int(of_class.argmax())
        label = int(scores[best].argmax()) if label is None else label
        words = f"{file.names[label]} {float(scores[best, label]):.3f} on the last frame"
        return detection_target(file.model, image, found.boxes[image, best], label), words

    return file.model, file.names, inputs, indices.tolist(), ask


def _label(name: str | None, names: tuple[str, ...]) -> int | None:
    from stadet.engine.errors import UserError, neighbours

    if name is None or name in names:
        return None if name is None else names.index(name)
    raise UserError(f"--class: no class {name!r}{neighbours(name, names)}")


def _enlarge(image: np.ndarray) -> np.ndarray:
    """At least `WIDTH` wide, by a whole factor."""
    import cv2

    factor = max(1, -(-WIDTH // image.shape[1]))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
