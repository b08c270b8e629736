"""Darknet `.weights` files: yolov3, yolov3-tiny, the classifier darknet53, and backbones cut off by
Darknet's `partial` (darknet53.conv.74, yolov3-tiny.conv.15).

A file is a header (major, minor, revision: int32; images seen: int64 from version 0.2 on, int32
before) and float32 numbers, little-endian, for each convolution in the order of the configuration:
with batch norm its bias, scale, mean and variance, then the kernel; without, its bias, then the
kernel. Nothing in it names a layer, so its length must fit exactly.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stadet.detect.yolo.darknet53 import ConvBlock, Darknet53
from stadet.detect.yolo.head import OutputConv, YoloDetector
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.detect.yolo.yolov3 import YOLOv3
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.mistaken_files import expect_weights_file

VERSION = (0, 2, 5)  # written by `save_darknet_weights`

_NOT_DARKNET = (
    (b"PK", "a torch checkpoint (zip)"),
    (b"\x80\x02", "a torch checkpoint (of before 1.6)"),
)
_IMAGENET = 1000 * (1024 + 1)  # numbers of darknet53.weights behind the backbone: its classifier


@dataclass(frozen=True)
class _Layer:
    name: str
    tensors: tuple[Tensor, ...]  # in the file's order
    output: OutputConv | None  # the layer itself, if its size depends on the number of classes

    @property
    def size(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors)


def _layers(model: nn.Module) -> Iterator[_Layer]:
    """The convolutions in Darknet's order, which is the order of `named_modules`."""
    for name, module in model.named_modules():
        if isinstance(module, ConvBlock):
            norm = module.norm
            tensors = (norm.bias, norm.weight, norm.running_mean, norm.running_var)
            yield _Layer(name, (*tensors, module.conv.weight), None)
        elif isinstance(module, OutputConv):
            yield _Layer(name, (module.bias, module.weight), module)


def load_darknet_weights(model: YoloDetector | Darknet53, path: str | os.PathLike) -> WeightsReport:
    """Fill `model` from a `.weights` file of the same body; returns which layers were filled.

    A file of another number of classes gives everything but the output convolutions. A file that
    ends after the backbone, or before the first output convolution, gives what it holds. Raises
    UserError where the count of numbers fits none of these (truncated, or another network).
    """
    layers = list(_layers(model))
    numbers, _ = read_darknet_file(path)
    file_sizes = _file_sizes(model, layers, len(numbers), path)
    used: list[str] = []
    unused = [] if len(numbers) == sum(file_sizes) else ["the classifier of ImageNet"]
    offset = 0
    with torch.no_grad():
        for layer, file_size in zip(layers, file_sizes, strict=False):
            if file_size != layer.size:
                unused.append(f"{layer.name}, {file_size:,} numbers")
            else:
                values = torch.from_numpy(numbers[offset : offset + file_size])
                pieces = values.split([tensor.numel() for tensor in layer.tensors])
                for tensor, piece in zip(layer.tensors, pieces, strict=True):
                    tensor.copy_(piece.view_as(tensor))
                used.append(layer.name)
            offset += file_size
    missing = [layer.name for layer in layers if layer.name not in set(used)]
    return WeightsReport(os.path.basename(path), tuple(used), tuple(missing), tuple(unused))


def save_darknet_weights(
    model: YoloDetector | Darknet53, path: str | os.PathLike, images_seen: int = 0
) -> None:
    """Write all convolutions of `model`, so that Darknet, or this file, reads them back."""
    with atomic_write(path, "wb") as stream:
        stream.write(struct.pack("<iiiq", *VERSION, images_seen))
        for layer in _layers(model):
            for tensor in layer.tensors:
                stream.write(tensor.detach().float().cpu().numpy().astype("<f4").tobytes())


def read_darknet_file(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """The numbers of a `.weights` file, (n,) float32, and the images seen. UserError if it has no
    header or ends within a number."""
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise UserError(f"{path}: expected a Darknet weights file, {error.strerror}") from None
    expect_weights_file(path)
    for start, kind in _NOT_DARKNET:
        if content.startswith(start):
            raise UserError(f"{path}: expected a Darknet weights file, found {kind}")
    major, minor = struct.unpack("<ii", content[:8].ljust(8, b"\0"))
    wide = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    header = struct.Struct("<iiiq" if wide else "<iiii")
    if len(content) < header.size or (len(content) - header.size) % 4:
        raise UserError(
            f"{path}: expected a Darknet header of {header.size} bytes and whole numbers of 4, "
            f"found {len(content):,} bytes; download it again"
        )
    images_seen = header.unpack_from(content)[-1]
    numbers = np.frombuffer(content, "<f4", offset=header.size).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UserError(
            f"{path}: expected finite weights, found NaN or infinity; the file is damaged, "
            "download it again"
        )
    return numbers, images_seen


def _file_sizes(
    model: YoloDetector | Darknet53, layers: list[_Layer], found: int, path: str | os.PathLike
) -> list[int]:
    """Numbers of each of the file's layers, first to last; UserError if `found` fits no file."""
    sizes = [layer.size for layer in layers]
    outputs = [layer.output for layer in layers if layer.output is not None]
    stops = {len(layers), sum(not layer.name.startswith("scales.") for layer in layers)}
    if outputs:
        stops.add(next(i for i, layer in enumerate(layers) if layer.output is not None))
    for stop in stops:
        if sum(sizes[:stop]) == found:
            return sizes[:stop]
    backbone = sum(sizes[: min(stops)])
    if isinstance(model, YOLOv3) and found == backbone + _IMAGENET:
        return sizes[: min(stops)]
    # of another number of classes: each of the 5 + C values of each anchor costs in_channels + 1
    body = sum(layer.size for layer in layers if layer.output is None)
    a_value = sum(conv.num_anchors * (conv.in_channels + 1) for conv in outputs)
    if outputs and (found - body) % a_value == 0 and (values := (found - body) // a_value) > 5:
        return [
            layer.output.num_anchors * values * (layer.output.in_channels + 1)
            if layer.output is not None
            else layer.size
            for layer in layers
        ]
    expected = " or ".join(f"{sum(sizes[:stop]):,}" for stop in sorted(stops, reverse=True))
    raise UserError(
        f"{path}: expected {expected} numbers for this {type(model).__name__} (whole, or a part "
        f"that Darknet cuts off), found {found:,}; the file is truncated or of another network"
    )
