"""Configuration of a detector's training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from stadet.datasets.clips.augment import AugmentConfig
from stadet.detect.inference import InferenceConfig
from stadet.engine.config import VariantConfig
from stadet.engine.errors import UserError
from stadet.engine.limits import INFINITE, POSITIVE, expect_limits
from stadet.engine.loop_config import LoopConfig
from stadet.recurrent_yolo.sampler import SamplerConfig
from stadet.recurrent_yolo.sequences import SequenceConfig
from stadet.recurrent_yolo.temporal import MemoryConfig

if TYPE_CHECKING:
    from stadet.tools.training.recipe import Recipe


@dataclass
class DataConfig:
    """Data and batches of a detector's training.

    Attributes:
        dataset: the data set file.
        size: (height, width) of the network's input, pixels.
        resize: "letterbox" keeps the frame's shape and pads with grey; "stretch" fills the input.
        fps: frames a second at which all videos are shown to a model that uses earlier frames;
            "native" shows each at its own (default: the rate of most of the training footage).
        batch: frames (clips, lanes) of one process in one step.
        negatives: frames without action drawn for each frame with one.
        balance: how far rare classes are repeated, from 0 (not at all) to 1 (to equal counts).
        lead_in: seconds of footage before a looked-at frame that detectors with memory run through
            when they are judged; null = all of it, as `stad predict` does, so that both give one
            figure. A number saves time where long footage has few looked-at frames.
        workers: loading processes.
        cache: folder of reduced frames (default: next to the data set file).
        cache_kind: store the reduced frames as JPEG, raw, or raw if they fit ("auto").
    """

    dataset: str = "dataset.yaml"
    size: tuple[int, int] = (416, 416)
    resize: Literal["letterbox", "stretch"] = "letterbox"
    fps: float | Literal["native"] | None = None
    batch: int = 16
    negatives: float = 1.0
    balance: float = 0.0
    lead_in: float | None = None
    workers: int = 2
    cache: str | None = None
    cache_kind: Literal["auto", "jpeg", "raw"] = "auto"

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "data",
            size=(1, INFINITE),
            **({} if self.fps in (None, "native") else {"fps": (POSITIVE, INFINITE)}),
            batch=(1, INFINITE),
            negatives=(0, INFINITE),
            balance=(0, 1),
            lead_in=(0, INFINITE),
            workers=(0, INFINITE),
        )


@dataclass
class YoloConfig:
    """The frame detector; recurrent and stacked models are built on it, too.

    Attributes:
        network: the architecture; "backbone" is YOLOv3's neck and heads on the network that
            `backbone` names.
        backbone: an image network of torchvision (mobilenet_v2, resnet50, efficientnet_v2_s,
            convnext_tiny, ..) or, with the extra `timm`, of timm (timm/resnet18).
        backbone_weights: of the backbone to start from, a local file or a name of the library's
            (IMAGENET1K_V2, DEFAULT; of timm a tag such as a1_in1k), which downloads them; null =
            random ones.
        width: factor on the numbers of channels; with "backbone", of the neck and the heads.
        depth: factor on the numbers of residual blocks.
        body: activation and residuals, "published" (Darknet) or as in ultralytics' YOLOv3.
        strides: of the detection levels, finest first, pixels (add 4 for small objects).
        anchors: a strategy run on the training side (kmeans, spread, ..), a preset, or a file.
        num_anchors: anchors of a strategy, over all levels.
        weights: a checkpoint, Darknet .weights or ultralytics .pt to start from.
        freeze: parts that keep their weights (backbone, scales; of a recurrent model: backbone,
            neck, head).
    """

    network: Literal["yolov3", "yolov3-tiny", "backbone"] = "yolov3"
    backbone: str | None = None
    backbone_weights: str | None = None
    width: float = 1.0
    depth: float = 1.0
    body: Literal["published", "ultralytics"] = "published"
    strides: list[int] = field(default_factory=lambda: [8, 16, 32])
    anchors: str = "kmeans"
    num_anchors: int = 9
    weights: str | None = None
    freeze: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "yolo",
            width=(POSITIVE, INFINITE),
            depth=(POSITIVE, INFINITE),
            strides=(1, INFINITE),
            num_anchors=(1, INFINITE),
        )
        if not self.strides:
            raise UserError("yolo.strides: expected at least one level, found none")


@dataclass
class UltralyticsConfig:
    """A detection network of ultralytics, by `model: ultralytics` or `recurrent-ultralytics`.

    Attributes:
        network: the name of one of their configurations, size included (yolov3, yolov8n, yolo11s,
            yolo26x, ..); where it is not given, that of `weights`.
        weights: a .pt of `yolo train`, or a checkpoint of `stad train`, to start from.
        one_to_one: answer by the one-to-one head of yolo26 and yolov10, which needs no
            suppression (inference.iou_threshold=1 leaves it out).
        freeze: parts that keep their weights (backbone, neck, head).
        box_gain: factor of the loss's box term.
        class_gain: factor of its class term.
        distance_gain: factor of the term of the sides' distances.
        balance_classes: weigh each class by its rarity to this power (0 = equal weights).
    """

    network: str = "yolo11n"
    weights: str | None = None
    one_to_one: bool = False
    freeze: list[str] = field(default_factory=list)
    box_gain: float = 7.5
    class_gain: float = 0.5
    distance_gain: float = 1.5
    balance_classes: float = 0.0

    def __post_init__(self) -> None:
        gains = ("box_gain", "class_gain", "distance_gain", "balance_classes")
        expect_limits(self, "ultralytics", **dict.fromkeys(gains, (0, INFINITE)))


@dataclass
class RecurrentConfig:
    """Memory between frames, and how clips are streamed in training.

    Attributes:
        placement: where the memory is: on the backbone's features, on the neck's, or in the head
            before the last convolution.
        levels: detection levels that have a memory (default: all).
        memory: the recurrent cell.
        sequences: how stretches of video are cut.
        sampler: how they are streamed; `sampler.lanes` replaces `data.batch`.
        bptt_windows: windows that a gradient crosses.
        warmup_frames: frames at the start of each stream that give no loss.
        balance_threshold: classes in a smaller share of the sequences than this are repeated.
        stacked_frames: frames that `model: stacked-yolo` sees at once.
    """

    placement: Literal["backbone", "neck", "head"] = "neck"
    levels: list[int] | None = None
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    bptt_windows: int = 1
    warmup_frames: int = 0
    balance_threshold: float = 0.0
    stacked_frames: int = 2

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "recurrent",
            bptt_windows=(1, INFINITE),
            warmup_frames=(0, INFINITE),
            balance_threshold=(0, 1),
            stacked_frames=(1, INFINITE),
        )


@dataclass
class YowoConfig:
    """YOWO: a 2D branch for the key frame, a 3D branch for the clip.

    Attributes:
        backbone: network of the 3D branch, one of `stadet.yowo.model.BACKBONES`.
        width: factor on the numbers of channels of the 3D branch, of darknet19 and of CFAM.
        clip_length: frames of a clip; the last one is the key frame.
        clip_step: frames between two frames of a clip, in evaluation and prediction.
        steps: the same in training; one is drawn for each clip.
        reverse: probability that a training clip runs backwards, with labels exchanged by the data
            set file's `reverses`.
        stride: of the output grid, pixels: 32 as published, 16 or 8 for small boxes.
        anchors: a strategy run on the training side (kmeans, spread, ..), a preset, or a file.
        num_anchors: anchors of a strategy.
        freeze: branches ("2d", "3d") of which only the last block is trained.
        box_loss: loss of the boxes.
        normalise: sum of the region loss ("sum", as published), or its mean over the boxes.
        focal_gamma: exponent of the focal loss of the classes.
        balance_classes: weigh each class by its rarity to this power (0 = equal weights).
        multi_label_classes: number of classes, the last ones, with a sigmoid each; the others share
            a softmax (AVA: 66 of 80).
        input_mean: subtracted from frames in [0, 1] (AVA as published: 0.45).
        input_std: frames are then divided by it (AVA as published: 0.225).
        weights: a checkpoint of this toolkit or of the public YOWO to start from.
        weights_2d: of the 2D branch: Darknet's yolo.weights for darknet19; for an image network, a
            local file or a name of the library's (IMAGENET1K_V1, DEFAULT; of timm a tag).
        weights_3d: Kinetics weights for the 3D branch.
        strict_weights: refuse a file that does not fill everything except the head.
        backbone_2d: network of the 2D branch: darknet19, as published, or an image network of
            torchvision (mobilenet_v2, resnet50, efficientnet_v2_s, convnext_tiny, ..) or timm
            (timm/resnet18).
    """

    backbone: str = "resnext101"
    width: float = 1.0
    clip_length: int = 16
    clip_step: int = 1
    steps: list[int] = field(default_factory=lambda: [1, 2])
    reverse: float = 0.0
    stride: Literal[8, 16, 32] = 32
    anchors: str = "kmeans"
    num_anchors: int = 5
    freeze: list[str] = field(default_factory=list)
    box_loss: Literal["smooth_l1", "ciou"] = "smooth_l1"
    normalise: Literal["sum", "positives"] = "positives"
    focal_gamma: float = 2.0
    balance_classes: float = 0.0
    multi_label_classes: int = 0
    input_mean: float = 0.0
    input_std: float = 1.0
    weights: str | None = None
    weights_2d: str | None = None
    weights_3d: str | None = None
    strict_weights: bool = True
    backbone_2d: str = "darknet19"

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "yowo",
            width=(POSITIVE, INFINITE),
            clip_length=(1, INFINITE),
            clip_step=(1, INFINITE),
            steps=(1, INFINITE),
            reverse=(0, 1),
            num_anchors=(1, INFINITE),
            focal_gamma=(0, INFINITE),
            balance_classes=(0, INFINITE),
            multi_label_classes=(0, INFINITE),
            input_std=(POSITIVE, INFINITE),
        )
        if not self.steps:
            raise UserError("yowo.steps: expected at least one distance, found none")


@dataclass
class YoloLossConfig:
    """Loss of the frame detector and the models built on it (`detect.yolo.loss.YoloLoss`).

    Attributes:
        box_weight: factor of the box term.
        objectness_weight: factor of the objectness term.
        class_weight: factor of the class term.
        no_object_weight: factor of cells without object, within the objectness term.
        class_gamma: exponent of the focal loss of the classes, 0 for plain cross-entropy.
        objectness_gamma: exponent of the focal loss of the objectness.
        match_iou: IoU of shapes above which anchors other than the best are assigned, too.
        ignore_iou: IoU with a truth above which an unassigned prediction counts as no error.
        balance_classes: weigh each class by its rarity to this power (0 = equal weights).
    """

    box_weight: float = 5.0
    objectness_weight: float = 1.0
    class_weight: float = 1.0
    no_object_weight: float = 1.0
    class_gamma: float = 0.0
    objectness_gamma: float = 1.5
    match_iou: float = 0.3
    ignore_iou: float = 0.7
    balance_classes: float = 0.0

    def __post_init__(self) -> None:
        weights = ("box_weight", "objectness_weight", "class_weight", "no_object_weight")
        powers = ("class_gamma", "objectness_gamma", "balance_classes")
        expect_limits(
            self,
            "loss",
            match_iou=(0, 1),
            ignore_iou=(0, 1),
            **dict.fromkeys(weights + powers, (0, INFINITE)),
        )


@dataclass
class TrainConfig(VariantConfig):
    """A detector's training.

    Attributes:
        model: the kind of detector (yolo, recurrent-yolo, stacked-yolo, yowo, ultralytics,
            recurrent-ultralytics), or module:Class of a recipe of your own.
        output: folder of the run.
        seed: of everything random.
        allow_overlap: start from weights that were trained on frames of this validation side.
    """

    model: str = "yolo"
    output: str = "runs/yolov3"
    seed: int = 0
    allow_overlap: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    yolo: YoloConfig = field(default_factory=YoloConfig)
    ultralytics: UltralyticsConfig = field(default_factory=UltralyticsConfig)
    recurrent: RecurrentConfig = field(default_factory=RecurrentConfig)
    yowo: YowoConfig = field(default_factory=YowoConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: YoloLossConfig = field(default_factory=YoloLossConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)

    def __post_init__(self) -> None:
        expect_limits(self, "", seed=(0, 2**63 - 1))

    @property
    def recipe(self) -> Recipe:
        """The recipe of the model. UserError for an unknown model."""
        from stadet.tools.training.recipe import find_recipe

        return find_recipe(self.model)(self)

    @classmethod
    def variant(
        cls, values: Mapping[str, Any], source: str, *, may_import: bool
    ) -> type[TrainConfig]:
        from stadet.tools.training.recipe import config_class, find_recipe

        name = values.get("model", cls.model)
        if not isinstance(name, str):
            raise UserError(f"{source}: model: expected a name, found {name!r}")
        return config_class(find_recipe(name, f"{source}: model", may_import=may_import))
