"""A detection network of ultralytics with the contract of every detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.batch import Predictions
from stadet.detect.ultralytics_models.architecture import build_network, facts_of
from stadet.detect.yolo.staged import StagedDetector


class UltralyticsDetector(StagedDetector):
    """One of ultralytics' detection networks, by the name of its configuration (yolo11n, ..).

    A memory may lie on the features that enter the head. Maps are (N, 4 R + C, h, w), a level each:
    distances of the four sides in R bins, and class logits. Networks with a second, one-to-one head
    (yolo26, v10) give its maps after the others' in training, where its gradients stop before the
    features, as in ultralytics; otherwise they give those of the head that answers alone.

    one_to_one: answer by the one-to-one head, which needs no suppression; as in ultralytics (8.4)
    the one-to-many head answers by default.
    """

    network: Any  # ultralytics' modules carry places in their list, and tables of branches

    def __init__(self, network: str, num_classes: int, *, one_to_one: bool = False) -> None:
        super().__init__()
        self.network = build_network(network, num_classes)
        self.num_classes = num_classes
        facts = facts_of(self._head)
        self.strides, self.bins = facts.strides, facts.reg_max
        self.has_one_to_one = facts.has_one_to_one
        self.one_to_one = one_to_one and facts.has_one_to_one
        self.neck_channels = tuple(branch[0].conv.in_channels for branch in self._head.cv2)
        self._backbone_layers = len(self.network.yaml["backbone"])

    @property
    def _head(self) -> Any:
        return self.network.model[-1]

    def forward_backbone(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to the features that enter the head: backbone and neck, whose
        layers follow one another in ultralytics' list."""
        kept: list[Any] = []
        x: Any = images
        for layer in self.network.model[:-1]:
            x = layer(_inputs(layer, x, kept))
            kept.append(x if layer.i in self.network.save else None)
        features = _inputs(self._head, x, kept)
        assert isinstance(features, list)
        return features

    def forward_neck(self, backbone_features: list[Tensor]) -> list[Tensor]:
        """The same features; see `forward_backbone`."""
        return backbone_features

    def forward_head_features(self, features: list[Tensor]) -> list[Tensor]:
        """The same features: the head is whole in `forward_output`."""
        return features

    def forward_output(self, head_features: list[Tensor]) -> list[Tensor]:
        """Features that enter the head to maps (N, 4 R + C, h, w), finest first."""
        head = self._head
        many = head.one2many
        if not self.has_one_to_one:
            return _maps(head_features, many)
        if self.training:
            detached = [x.detach() for x in head_features]
            return [*_maps(head_features, many), *_maps(detached, head.one2one)]
        return _maps(head_features, head.one2one if self.one_to_one else many)

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """Maps to boxes in network pixels with final scores, not yet suppressed.

        These heads have no objectness: it is the score of the best class.
        """
        from ultralytics.utils.tal import dist2bbox, make_anchors

        levels = len(self.strides)
        own = [m.float() for m in (maps[-levels:] if self.one_to_one else maps[:levels])]
        points, strides = (t.transpose(0, 1) for t in make_anchors(own, self.strides, 0.5))
        sides, logits = split_maps(own, self.bins)
        boxes = dist2bbox(self._distances(sides), points.unsqueeze(0), xywh=False, dim=1) * strides
        scores = logits.sigmoid().transpose(1, 2)
        return Predictions(boxes.transpose(1, 2), scores.amax(-1), scores)

    def modules_of(self, part: str) -> list[nn.Module]:
        """The backbone and the head are those of ultralytics' configuration, the neck lies
        between."""
        layers = list(self.network.model)
        first = {"backbone": 0, "neck": self._backbone_layers, "head": len(layers) - 1}
        last = {"backbone": self._backbone_layers, "neck": len(layers) - 1, "head": len(layers)}
        return layers[first[part] : last[part]]

    def _distances(self, sides: Tensor) -> Tensor:
        """(N, 4 R, K) to the expected distances (N, 4, K) in cells."""
        if self.bins > 1 and torch.onnx.is_in_onnx_export():
            # no convolution behind the last ones, which int8 export would take for the last
            share = sides.unflatten(1, (4, self.bins)).softmax(2)
            places = torch.arange(self.bins, dtype=share.dtype, device=share.device)
            return (share * places[:, None]).sum(2)
        return self._head.dfl(sides)


def split_maps(maps: Sequence[Tensor], bins: int) -> tuple[Tensor, Tensor]:
    """Maps (N, 4 R + C, h, w) to sides (N, 4 R, K) and class logits (N, C, K) of all levels."""
    sides = torch.cat([level_map[:, : 4 * bins].flatten(2) for level_map in maps], dim=2)
    logits = torch.cat([level_map[:, 4 * bins :].flatten(2) for level_map in maps], dim=2)
    return sides, logits


def _maps(features: Sequence[Tensor], branches: dict[str, nn.ModuleList]) -> list[Tensor]:
    pairs = zip(branches["box_head"], branches["cls_head"], features, strict=True)
    return [torch.cat([box(x), classes(x)], dim=1) for box, classes, x in pairs]


def _inputs(layer: Any, before: Any, kept: Sequence[Any]) -> Any:
    """What a layer of ultralytics' list takes: the output before it, or those of `layer.f`."""
    if layer.f == -1:
        return before
    if isinstance(layer.f, int):
        return kept[layer.f]
    return [before if place == -1 else kept[place] for place in layer.f]
