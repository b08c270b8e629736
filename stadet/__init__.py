"""Spatiotemporal action detection: YOLOv3, Recurrent YOLO and YOWO.

The names below are the public interface; each is imported when it is first used, so
`import stadet` costs nothing. Images are RGB unless a call says otherwise, boxes are xyxy in pixels
of the video, frame indices begin at 0 and times are seconds since the video's first frame.

Examples:
    >>> import stadet
    >>> detector = stadet.open_detector("runs/yolov3/best.pt")      # doctest: +SKIP
    >>> for found in detector("kitchen.mp4", threshold=0.4):        # doctest: +SKIP
    ...     print(found.seconds, found.with_classes("wipe"))
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if sys.version_info < (3, 10):  # noqa: UP036 - of a checkout, which pip does not guard
    raise SystemExit(f"stadet needs Python 3.10 or later, found {sys.version.split()[0]}")

if TYPE_CHECKING:
    from stadet.anchors.anchors import Anchors
    from stadet.anchors.strategies import pick_anchors
    from stadet.classify.answers import Answers
    from stadet.classify.timeline import Timeline
    from stadet.configs import config_names, find_config
    from stadet.datasets.annotate_next import ChoiceOptions, Stretch
    from stadet.datasets.dataset import Dataset, load_dataset
    from stadet.datasets.drafts import Draft, DraftOptions
    from stadet.datasets.footage.video import Video, open_video
    from stadet.datasets.footage.writer import VideoWriter
    from stadet.datasets.restaurant.config import FootageConfig
    from stadet.datasets.restaurant.files import write_footage
    from stadet.detect.actors.tracker import ActorOptions, ActorTracker
    from stadet.detect.boxes import pairwise_iou
    from stadet.detect.detections.collect import collect_detections
    from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.detect.drawing.render import Canvas, draw_annotations, draw_detections
    from stadet.detect.metrics.frame_map import FrameMAP, FrameMAPResult, frame_map
    from stadet.detect.metrics.video_map import VideoMAP, VideoMAPResult, video_map
    from stadet.detect.structures import (
        AnnotationSet,
        Detections,
        FrameAnnotations,
        Tube,
        VideoAnnotations,
    )
    from stadet.detect.suspects.suspect import Suspect, find_suspects
    from stadet.detect.tubes.events import Event, EventOptions, find_events
    from stadet.detect.tubes.file import read_tubes, write_tubes
    from stadet.detect.tubes.linking import LinkOptions
    from stadet.detect.tubes.online import OnlineLinker
    from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
    from stadet.engine.config import load_config
    from stadet.engine.errors import UserError
    from stadet.engine.progress import hide_progress, watch_progress
    from stadet.tools.actors import add_actors
    from stadet.tools.classification.config import ClassifierConfig
    from stadet.tools.classification.cross_validation import CrossValidation, cross_validate
    from stadet.tools.classification.train import train_classifier
    from stadet.tools.classification.video_answers import VideoClassifier, open_classifier
    from stadet.tools.compare import ComparisonResult, compare
    from stadet.tools.counts import CountResult, take_counts
    from stadet.tools.data.anchors import AnchorChoice, kmeans_anchors
    from stadet.tools.data.annotate_next import annotate_next
    from stadet.tools.data.convert import convert
    from stadet.tools.data.describe import Description, describe
    from stadet.tools.data.pre_annotate import PreAnnotation, pre_annotate
    from stadet.tools.evaluation.evaluate import (
        EvaluationResult,
        evaluate_checkpoint,
        evaluate_detections,
    )
    from stadet.tools.events import EventLog, log_events
    from stadet.tools.export import export
    from stadet.tools.import_weights import import_weights
    from stadet.tools.inference.explain import Explanation, explain
    from stadet.tools.inference.predict import predict
    from stadet.tools.inference.render import RenderedVideo, render
    from stadet.tools.inference.runtimes import RuntimeOptions
    from stadet.tools.inference.video_detector import DetectionStream, VideoDetector, open_detector
    from stadet.tools.training.command import TrainingResult
    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.train import train
    from stadet.tools.tubes import link_tubes

__all__ = [
    "ActorOptions",
    "ActorTracker",
    "AnchorChoice",
    "Anchors",
    "AnnotationSet",
    "Answers",
    "Canvas",
    "ChoiceOptions",
    "ClassifierConfig",
    "ComparisonResult",
    "CountResult",
    "CrossValidation",
    "Dataset",
    "Description",
    "DetectionSet",
    "DetectionStream",
    "Detections",
    "DetectionsWriter",
    "Draft",
    "DraftOptions",
    "EvaluationResult",
    "Event",
    "EventLog",
    "EventOptions",
    "Explanation",
    "FootageConfig",
    "FrameAnnotations",
    "FrameMAP",
    "FrameMAPResult",
    "LinkOptions",
    "OnlineLinker",
    "PreAnnotation",
    "RenderedVideo",
    "RuntimeOptions",
    "Stretch",
    "Suspect",
    "Timeline",
    "TrainConfig",
    "TrainingResult",
    "Tube",
    "TubeSet",
    "UserError",
    "Video",
    "VideoAnnotations",
    "VideoClassifier",
    "VideoDetections",
    "VideoDetector",
    "VideoMAP",
    "VideoMAPResult",
    "VideoTubes",
    "VideoWriter",
    "add_actors",
    "annotate_next",
    "collect_detections",
    "compare",
    "config_names",
    "convert",
    "cross_validate",
    "describe",
    "draw_annotations",
    "draw_detections",
    "evaluate_checkpoint",
    "evaluate_detections",
    "explain",
    "export",
    "find_config",
    "find_events",
    "find_suspects",
    "frame_map",
    "hide_progress",
    "import_weights",
    "kmeans_anchors",
    "link_tubes",
    "load_config",
    "load_dataset",
    "log_events",
    "open_classifier",
    "open_detector",
    "open_video",
    "pairwise_iou",
    "pick_anchors",
    "pre_annotate",
    "predict",
    "read_detections",
    "read_tubes",
    "render",
    "take_counts",
    "train",
    "train_classifier",
    "video_map",
    "watch_progress",
    "write_footage",
    "write_tubes",
]

_MODULES = {
    "stadet.anchors.anchors": ("Anchors",),
    "stadet.anchors.strategies": ("pick_anchors",),
    "stadet.classify.answers": ("Answers",),
    "stadet.classify.timeline": ("Timeline",),
    "stadet.configs": ("config_names", "find_config"),
    "stadet.datasets.annotate_next": ("ChoiceOptions", "Stretch"),
    "stadet.datasets.dataset": ("Dataset", "load_dataset"),
    "stadet.datasets.drafts": ("Draft", "DraftOptions"),
    "stadet.datasets.footage.video": ("Video", "open_video"),
    "stadet.datasets.footage.writer": ("VideoWriter",),
    "stadet.datasets.restaurant.config": ("FootageConfig",),
    "stadet.datasets.restaurant.files": ("write_footage",),
    "stadet.detect.actors.tracker": ("ActorOptions", "ActorTracker"),
    "stadet.detect.boxes": ("pairwise_iou",),
    "stadet.detect.detections.collect": ("collect_detections",),
    "stadet.detect.detections.detection_set": ("DetectionSet", "VideoDetections"),
    "stadet.detect.detections.reader": ("read_detections",),
    "stadet.detect.detections.writer": ("DetectionsWriter",),
    "stadet.detect.drawing.render": ("Canvas", "draw_annotations", "draw_detections"),
    "stadet.detect.metrics.frame_map": ("FrameMAP", "FrameMAPResult", "frame_map"),
    "stadet.detect.metrics.video_map": ("VideoMAP", "VideoMAPResult", "video_map"),
    "stadet.detect.structures": (
        "AnnotationSet",
        "Detections",
        "FrameAnnotations",
        "Tube",
        "VideoAnnotations",
    ),
    "stadet.detect.suspects.suspect": ("Suspect", "find_suspects"),
    "stadet.detect.tubes.events": ("Event", "EventOptions", "find_events"),
    "stadet.detect.tubes.file": ("read_tubes", "write_tubes"),
    "stadet.detect.tubes.linking": ("LinkOptions",),
    "stadet.detect.tubes.online": ("OnlineLinker",),
    "stadet.detect.tubes.tube_set": ("TubeSet", "VideoTubes"),
    "stadet.engine.config": ("load_config",),
    "stadet.engine.errors": ("UserError",),
    "stadet.engine.progress": ("hide_progress", "watch_progress"),
    "stadet.tools.actors": ("add_actors",),
    "stadet.tools.classification.config": ("ClassifierConfig",),
    "stadet.tools.classification.cross_validation": ("CrossValidation", "cross_validate"),
    "stadet.tools.classification.train": ("train_classifier",),
    "stadet.tools.classification.video_answers": ("VideoClassifier", "open_classifier"),
    "stadet.tools.compare": ("ComparisonResult", "compare"),
    "stadet.tools.data.anchors": ("AnchorChoice", "kmeans_anchors"),
    "stadet.tools.data.annotate_next": ("annotate_next",),
    "stadet.tools.data.convert": ("convert",),
    "stadet.tools.data.describe": ("Description", "describe"),
    "stadet.tools.data.pre_annotate": ("PreAnnotation", "pre_annotate"),
    "stadet.tools.evaluation.evaluate": (
        "EvaluationResult",
        "evaluate_checkpoint",
        "evaluate_detections",
    ),
    "stadet.tools.counts": ("CountResult", "take_counts"),
    "stadet.tools.events": ("EventLog", "log_events"),
    "stadet.tools.export": ("export",),
    "stadet.tools.import_weights": ("import_weights",),
    "stadet.tools.inference.explain": ("Explanation", "explain"),
    "stadet.tools.inference.predict": ("predict",),
    "stadet.tools.inference.render": ("RenderedVideo", "render"),
    "stadet.tools.inference.runtimes": ("RuntimeOptions",),
    "stadet.tools.inference.video_detector": ("DetectionStream", "VideoDetector", "open_detector"),
    "stadet.tools.training.command": ("TrainingResult",),
    "stadet.tools.training.config": ("TrainConfig",),
    "stadet.tools.training.train": ("train",),
    "stadet.tools.tubes": ("link_tubes",),
}
_PACKAGES = (
    "anchors",
    "classify",
    "configs",
    "datasets",
    "detect",
    "engine",
    "recurrent_yolo",
    "tools",
    "yowo",
)
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

# In a checkout the packages (detect/, datasets/, ..) are next to this file's folder.
_CHECKOUT = Path(__file__).resolve().parent.parent
_IN_CHECKOUT = (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "detect").is_dir()
if _IN_CHECKOUT and __name__ == "stadet":  # walking through packages also finds `stadet.stadet`
    __path__.append(str(_CHECKOUT))


def __getattr__(name: str) -> object:
    """A public name or a package, imported when it is first used (PEP 562)."""
    import importlib

    if name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    elif name in _PACKAGES:
        value = importlib.import_module(f"{__name__}.{name}")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("stadet")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES, "__version__"})
