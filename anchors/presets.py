"""Published anchors, by name.

Sizes are (width, height) in pixels of the network size they were published for; use
`Anchors.scaled_to` for another one.
"""

from __future__ import annotations

import numpy as np

from stadet.anchors.anchors import Anchors
from stadet.engine.errors import UserError, neighbours


def _grid_units(cells: list[tuple[float, float]], stride: int, network_size: int) -> Anchors:
    """Single-level anchors given in grid cells (YOLOv2 and YOWO) rather than pixels."""
    return Anchors((np.array(cells) * stride,), (stride,), (network_size, network_size))


# YOLOv3, arXiv 1804.02767, section 2.3.
YOLOV3_COCO = Anchors(
    (
        np.array([(10, 13), (16, 30), (33, 23)]),
        np.array([(30, 61), (62, 45), (59, 119)]),
        np.array([(116, 90), (156, 198), (373, 326)]),
    ),
    (8, 16, 32),
    (416, 416),
)

# The released yolov3-tiny.weights were trained with masks 1, 2, 3 and 3, 4, 5 over six sizes: (10,
# 14) is used by no level and (81, 82) by both. The weights are right only with these.
YOLOV3_TINY_COCO = Anchors(
    (
        np.array([(23, 27), (37, 58), (81, 82)]),
        np.array([(81, 82), (135, 169), (344, 319)]),
    ),
    (16, 32),
    (416, 416),
)

# YOLO9000, arXiv 1612.08242; values of the released yolov2.cfg (13 x 13 grid cells).
YOLOV2_COCO = _grid_units(
    [
        (0.57273, 0.677385),
        (1.87446, 2.06253),
        (3.33843, 5.47434),
        (7.88282, 3.52778),
        (9.77052, 9.16828),
    ],
    stride=32,
    network_size=416,
)

# YOWO, arXiv 1911.06644 (7 x 7 grid cells).
YOWO_UCF24 = _grid_units(
    [
        (0.70458, 1.18803),
        (1.26654, 2.55121),
        (1.59382, 4.08321),
        (2.30548, 4.94180),
        (3.52332, 5.91979),
    ],
    stride=32,
    network_size=224,
)
YOWO_JHMDB = _grid_units(
    [
        (0.95878, 3.10197),
        (1.67204, 4.0040),
        (1.75482, 5.64937),
        (3.09299, 5.80857),
        (4.91803, 6.25225),
    ],
    stride=32,
    network_size=224,
)
YOWO_AVA = _grid_units(
    [
        (0.71626, 2.13583),
        (1.28967, 4.15014),
        (2.12714, 5.09344),
        (3.27212, 5.87423),
        (5.16303, 6.33821),
    ],
    stride=32,
    network_size=224,
)

PRESETS: dict[str, Anchors] = {
    "yolov3-coco": YOLOV3_COCO,
    "yolov3-tiny-coco": YOLOV3_TINY_COCO,
    "yolov2-coco": YOLOV2_COCO,
    "yowo-ucf24": YOWO_UCF24,
    "yowo-jhmdb": YOWO_JHMDB,
    "yowo-ava": YOWO_AVA,
}


def preset(name: str) -> Anchors:
    """Published anchors by name. UserError for an unknown name."""
    if name not in PRESETS:
        raise UserError(
            f"expected one of the published anchors {', '.join(PRESETS)}; found "
            f"{name!r}{neighbours(name, PRESETS)}"
        )
    return PRESETS[name]
