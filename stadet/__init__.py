"""Spatiotemporal action detection: YOLOv3, Recurrent YOLO and YOWO."""

from pathlib import Path

# In a checkout the packages (detect/, datasets/, ..) lie beside this file's folder.
_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "detect").is_dir():
    __path__.append(str(_CHECKOUT))
