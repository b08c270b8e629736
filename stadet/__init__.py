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

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stadet.datasets.footage.video import Video, open_video
    from stadet.detect.detections.detection_set import DetectionSet
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.detect.structures import (
        AnnotationSet,
        Detections,
        FrameAnnotations,
        Tube,
        VideoAnnotations,
    )
    from stadet.engine.errors import UserError
    from stadet.tools.inference.video_detector import (
        DetectionStream,
        VideoDetector,
        open_detector,
    )

__all__ = [
    "AnnotationSet",
    "DetectionSet",
    "DetectionStream",
    "Detections",
    "DetectionsWriter",
    "FrameAnnotations",
    "Tube",
    "UserError",
    "Video",
    "VideoAnnotations",
    "VideoDetector",
    "open_detector",
    "open_video",
    "read_detections",
]

_MODULES = {
    "stadet.datasets.footage.video": ("Video", "open_video"),
    "stadet.detect.detections.detection_set": ("DetectionSet",),
    "stadet.detect.detections.reader": ("read_detections",),
    "stadet.detect.detections.writer": ("DetectionsWriter",),
    "stadet.detect.structures": (
        "AnnotationSet",
        "Detections",
        "FrameAnnotations",
        "Tube",
        "VideoAnnotations",
    ),
    "stadet.engine.errors": ("UserError",),
    "stadet.tools.inference.video_detector": (
        "DetectionStream",
        "VideoDetector",
        "open_detector",
    ),
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

# In a checkout the packages (detect/, datasets/, ..) lie beside this file's folder.
_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "detect").is_dir():
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
