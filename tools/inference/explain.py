"""Explanations of a classifier or a detector, as images and as a heat-map video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stadet.classify.explain import explanation
from stadet.classify.explain.grad_cam import Target, class_target, deciding_layer, detection_target
from stadet.classify.explain.guided_backpropagation import guided_backpropagation
from stadet.classify.explain.heat import heat_frames, signed_images
from stadet.classify.explain.layers import layer_names
from stadet.datasets.clips.resample import same_rate
from stadet.datasets.clips.samplers import key_frame_clip
from stadet.datasets.footage.video import Video, open_video
from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.labelled.clip_stream import stream_clips
from stadet.detect.classification_batch import collate_labelled
from stadet.detect.drawing.image_file import write_image
from stadet.detect.view import View, pair
from stadet.engine.checkpoint import load_checkpoint
from stadet.engine.errors import UserError, neighbours
from stadet.engine.files import expect_absent
from stadet.engine.signatures import checked
from stadet.tools.classification.checkpoint import open_classifier
from stadet.tools.classification.video_answers import VideoClassifier
from stadet.tools.inference.detectors import open_detector
from stadet.tools.inference.runtimes import EXPORTED

WIDTH = 480  # least width of the pictures, pixels
STRIP = 8  # images of a strip


@dataclass(frozen=True, eq=False)
class Explanation:
    """Result of an explanation.

    Attributes:
        video: the video's name.
        frames: indices of the frames that the model was shown.
        answer: class and score that are explained, in words.
        files: the videos and images that were written.
    """

    video: str
    frames: list[int]
    answer: str
    files: list[Path]


@dataclass(frozen=True, eq=False)
class _Question:
    """A model with its inputs for one clip. ask(class index or None) -> what to explain of it."""

    model: nn.Module
    names: tuple[str, ...]
    inputs: list[Tensor]
    frames: list[int]
    ask: Callable[[int | None], tuple[Target, str]]


@checked
def explain(
    video: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    methods: Sequence[str] = ("grad-cam",),
    layer: str | None = None,
    label: str | None = None,
    weighting: str = "mean",
    frame: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> Explanation:
    """Show what a model saw when it answered, as videos and strips of images.

    Of a classifier its answer on its evaluation clip is explained; of a detector the score of its
    best detection on a frame.

    Args:
        video: a video file or a frame folder.
        checkpoint: `best.pt` of a classifier's or a detector's run.
        out: folder of the videos and images.
        methods: "grad-cam", "guided-backpropagation", "activation".
        layer: by name (default: the last one with places; of a detector the last one before the
            convolution that gives the detection, in the level that it comes from).
        label: explain this class (default: the model's answer).
        weighting: of Grad-CAM's gradients: "mean", or "rms", which divides by their root mean
            square.
        frame: of a detector: the frame (default: the middle one).
        device: "cpu", "cuda" or "cuda:N" (default: the GPU if there is one).
        overwrite: replace the files of an earlier call.

    Raises:
        UserError: for unknown classes and layers, a frame outside the video, and files that are
            there already (unless `overwrite`).
    """
    question, opened = _open(video, checkpoint, frame, device)
    places = {method: _places(Path(out), f"{opened.name}-{method}") for method in methods}
    expect_absent(*(place for pair in places.values() for place in pair), overwrite=overwrite)
    target, words = question.ask(_label(label, question.names))
    if layer is None and not hasattr(question.model, "cam_layer"):
        layer = deciding_layer(question.model, question.inputs, target)
        words += f"; layer {layer}"
    indices, files = question.frames, []
    span = opened.clock.duration(indices[0], indices[-1])
    fps = (len(indices) - 1) / span if span > 0 else opened.fps
    for method in methods:
        pictures = explain_clip(question.model, question.inputs, method, target, layer, weighting)
        files += write_pictures(*places[method], pictures, fps)
    return Explanation(opened.name, indices, words, files)


def explainable_layers(video: str | Path, checkpoint: str | Path) -> list[str]:
    """Names of the layers of a checkpoint's model."""
    return layer_names(_open(video, checkpoint, None, None)[0].model)


def _open(
    path: str | Path, checkpoint: str | Path, frame: int | None, device: str | None
) -> tuple[_Question, Video]:
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if Path(checkpoint).suffix == EXPORTED:
        raise UserError(
            f"{checkpoint}: expected a checkpoint, found an exported file, without gradients to "
            "explain by; give the checkpoint that it was exported from"
        )
    video = open_video(path)
    is_classifier = load_checkpoint(checkpoint).get("kind") == "classifier"
    find = _classifier_question if is_classifier else _detector_question
    return find(checkpoint, video, frame, place), video


def explain_clip(
    model: nn.Module,
    inputs: list[Tensor],
    method: str,
    target: Target,
    layer: str | None,
    weighting: str,
) -> np.ndarray:
    """Pictures (T, h, w, 3) uint8 of one clip: its frames under heat, or signed gradients."""
    frames = inputs[0][0].permute(0, 2, 3, 1).cpu().numpy()  # (T, H, W, 3)
    if method == "guided-backpropagation":
        signed = guided_backpropagation(model, inputs, target)[0]
        return np.stack([_enlarge(image) for image in signed_images(signed)])
    heat = explanation.explain(model, inputs, method, target, layer=layer, weighting=weighting)[0]
    large = np.stack([_enlarge(frame) for frame in frames])
    warm = np.stack([_enlarge(h) for h in heat.cpu().numpy()])
    return np.stack(list(heat_frames(large, warm)))


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    """The film and the strip of images of a method."""
    safe = name.replace("/", "_")
    return folder / f"{safe}.mp4", folder / f"{safe}.png"


def write_pictures(film: Path, strip: Path, pictures: np.ndarray, fps: float) -> list[Path]:
    """`film` (.mp4) of all pictures and `strip` (.png) of some; their paths."""
    with VideoWriter(film, pictures.shape[1:3], fps) as writer:
        for picture in pictures:
            writer.write(picture)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, STRIP).round().astype(int))
    write_image(strip, np.hstack(list(pictures[chosen])))
    return [film, strip]


def _classifier_question(
    checkpoint: str | Path, video: Video, frame: int | None, device: torch.device
) -> _Question:
    if frame is not None:
        raise UserError("--frame is for detectors; a classifier is asked about its whole clip")
    file = open_classifier(checkpoint, device)
    classifier = VideoClassifier(file, device)
    clips = classifier.clips_of(video, 0, len(video))
    frames = clips[len(clips) // 2]
    ((_, clip),) = classifier.inputs_of(video, [frames])
    batch = collate_labelled([clip]).to(device)
    inputs = [batch.inputs[name] for name in file.model.inputs]

    def ask(label: int | None) -> tuple[Target, str]:
        with torch.inference_mode():
            logits = file.model(*inputs)[0, : len(file.names)].float().softmax(0)
        label = int(logits.argmax()) if label is None else label
        return class_target(label), f"{file.names[label]} {float(logits[label]):.3f}"

    return _Question(file.model, file.names, inputs, [int(i) for i in frames], ask)


def _detector_question(
    checkpoint: str | Path, video: Video, frame: int | None, device: torch.device
) -> _Question:
    """Of the clip that ends at a frame."""
    file = open_detector(checkpoint, device)
    frame = len(video) // 2 if frame is None else frame
    if not 0 <= frame < len(video):
        raise UserError(f"--frame: expected 0 to {len(video) - 1}, found {frame}")
    model = file.model
    fps = file.timing and (file.timing.stream_fps if model.follows_streams else file.timing.fps)
    places = None
    if fps is not None and not same_rate(video.clock, fps):
        places = video.clock.seconds(np.arange(len(video))) * fps
    clip = key_frame_clip(frame, model.clip_length, model.clip_step, places=places)
    indices = np.array(clip)
    data = file.config.data
    view = View.fit(video.size, pair(data.size), data.resize)
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

    return _Question(file.model, file.names, inputs, indices.tolist(), ask)


def _label(name: str | None, names: tuple[str, ...]) -> int | None:
    if name is None or name in names:
        return None if name is None else names.index(name)
    raise UserError(f"--class: no class {name!r}{neighbours(name, names)}")


def _enlarge(image: np.ndarray) -> np.ndarray:
    """At least `WIDTH` wide, by a whole factor."""
    factor = max(1, -(-WIDTH // image.shape[1]))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
