"""ultralytics' detection losses on the targets of this toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.batch import Targets
from stadet.detect.boxes import xyxy_to_cxcywh
from stadet.detect.detection_loss import DetectionLoss
from stadet.detect.ultralytics_models.architecture import Facts
from stadet.detect.ultralytics_models.detector import split_maps
from stadet.detect.ultralytics_models.label_sets import ClassLoss, LabelSetAssigner, label_sets
from stadet.detect.yolo.ultralytics_body import keep_offline

NAMES = ("box", "class", "distance")


class UltralyticsLoss(DetectionLoss):
    """`v8DetectionLoss`, or `E2ELoss` for networks with a one-to-one head, of ultralytics itself.

    Their terms as their log shows them, a mean that does not grow with the batch (they train on it
    times the batch's images). Images that nobody looked at take no part; a place inside an ignored
    region to which nothing is assigned has no class loss; a box may hold several classes, and then
    counts as often in the box terms. Like theirs, it is normalised in each process by itself.
    Everything is computed in float32.

    facts: of the network. box_gain, class_gain, distance_gain: factors of the terms (`box`, `cls`,
    `dfl` there). class_weights (C,): factor of each class's terms.
    """

    def __init__(
        self,
        facts: Facts,
        *,
        box_gain: float = 7.5,
        class_gain: float = 0.5,
        distance_gain: float = 1.5,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.facts = facts
        # two epochs: their schedule then runs over shares of the training
        self.gains = SimpleNamespace(box=box_gain, cls=class_gain, dfl=distance_gain, epochs=2)
        self.done = 0.0
        factors = None if class_weights is None else torch.tensor(class_weights).float()
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", factors, persistent=False)
        self._made: dict[tuple[str, int], Any] = {}

    def count_positives(self, targets: Targets) -> Tensor:
        """The looked-at images, (); the terms are not divided by it."""
        return targets.looked_at.sum().float()

    def set_progress(self, done: float) -> None:
        """Their schedule: the one-to-many head's share of the loss falls from .8 to .1."""
        self.done = done

    def forward(
        self, maps: Sequence[Tensor], targets: Targets, num_positives: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Maps (N, 4 R + C, h, w) of a network in training to the terms `box`, `class` and
        `distance`; without looked-at images they are 0 and stay connected to the maps."""
        images = targets.looked_at.nonzero()[:, 0]
        if not len(images):
            nothing = sum((level_map.float().sum() for level_map in maps), maps[0].new_zeros(()))
            return dict.fromkeys(NAMES, 0 * nothing)
        with torch.autocast(maps[0].device.type, enabled=False):
            own = [level_map[images].float() for level_map in maps]
            return self._terms(own, targets, images)

    def _terms(self, maps: Sequence[Tensor], targets: Targets, images: Tensor) -> dict[str, Tensor]:
        levels = len(self.facts.strides)
        size = [side * self.facts.strides[0] for side in maps[0].shape[-2:]]
        heads = [self._outputs(maps[:levels])]
        criterion = self._criterion(maps[0].device, heads[0]["scores"].shape[1])
        parts = [criterion]
        outputs: dict[str, Any] = heads[0]
        if self.facts.has_one_to_one:
            heads.append(self._outputs(maps[levels:]))
            outputs = {"one2many": heads[0], "one2one": heads[1]}
            parts = [criterion.one2many, criterion.one2one]
            criterion.o2m = criterion.decay(self.done)
            criterion.o2o = max(criterion.total - criterion.o2m, 0)
        place = torch.full_like(targets.looked_at, -1, dtype=torch.int64)
        place[images] = torch.arange(len(images), device=images.device)
        item = place[targets.item]  # of each box among the looked-at images
        used = (item >= 0) & ~targets.ignored
        sets, number = label_sets(targets.labels[used].float())
        outside = self._outside(maps[:levels], targets, item)
        for part in parts:
            part.assigner.sets = sets
            part.bce.outside = outside
        height, width = size
        scale = targets.boxes.new_tensor([width, height, width, height])
        batch = {
            "batch_idx": item[used],
            "cls": number.float(),
            "bboxes": xyxy_to_cxcywh(targets.boxes[used].float()) / scale,
        }
        total, _ = criterion(outputs, batch)
        return dict(zip(NAMES, total / len(images), strict=True))

    def _outputs(self, maps: Sequence[Tensor]) -> dict[str, Any]:
        """A head's maps as their losses take them; of `feats` they read the sizes."""
        sides, logits = split_maps(maps, self.facts.reg_max)
        return {"boxes": sides, "scores": logits, "feats": list(maps)}

    def _outside(self, maps: Sequence[Tensor], targets: Targets, item: Tensor) -> Tensor | None:
        """(N, K) bool: places outside all ignored regions; None where there is no region."""
        regions = (targets.ignored & (item >= 0)).nonzero()[:, 0]
        if not len(regions):
            return None
        from ultralytics.utils.tal import make_anchors

        points, strides = make_anchors(list(maps), self.facts.strides, 0.5)
        centres = points * strides  # (K, 2)
        boxes = targets.boxes[regions].float()[:, None]  # (R, 1, 4)
        inside = ((centres >= boxes[..., :2]) & (centres <= boxes[..., 2:])).all(-1)  # (R, K)
        outside = torch.ones(len(maps[0]), len(centres), dtype=torch.bool, device=boxes.device)
        for region, image in zip(inside, item[regions].tolist(), strict=True):
            outside[image] &= ~region
        return outside

    def _criterion(self, device: torch.device, num_classes: int) -> Any:
        """Their loss for a device, made once; it asks a network for what `facts` hold."""
        key = (str(device), num_classes)
        if key not in self._made:
            keep_offline()
            from ultralytics.utils.loss import E2ELoss, v8DetectionLoss

            def adapted(network: Any, **options: Any) -> v8DetectionLoss:
                loss: Any = v8DetectionLoss(network, **options)
                loss.assigner = LabelSetAssigner(loss.assigner)
                loss.bce = ClassLoss()
                return loss

            network = _Stand(self.facts, num_classes, self.gains, self.class_weights).to(device)
            kind = self.facts.has_one_to_one
            self._made[key] = E2ELoss(network, adapted) if kind else adapted(network)
        return self._made[key]


class _Stand(nn.Module):
    """What their losses read of a network."""

    def __init__(
        self, facts: Facts, num_classes: int, gains: SimpleNamespace, weights: Tensor | None
    ) -> None:
        super().__init__()
        self.args = gains
        self.class_weights = weights
        self.where = nn.Parameter(torch.zeros(()))  # its device is the network's
        stride = torch.tensor(facts.strides).float()
        self.model = [SimpleNamespace(stride=stride, nc=num_classes, reg_max=facts.reg_max)]
