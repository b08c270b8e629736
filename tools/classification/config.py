"""Configuration of a classifier's training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.labelled.camera_motion import CameraMotionConfig
from stadet.datasets.labelled.clip_sampling import SamplingConfig
from stadet.datasets.labelled.splits import SplitMethod
from stadet.engine.loop_config import LoopConfig

SourceFormat = Literal["folders", "handwash", "ucf11", "ucf101", "hmdb51", "jester", "keypoints"]


@dataclass
class SourceConfig:
    """Videos with one class each.

    Attributes:
        root: folder of the videos.
        format: how they are labelled.
        lists: folder of the lists of ucf101, hmdb51 and jester (default: root).
        list_split: number of the official split.
        names: order of the classes (default: the format's).
        none: folder of videos that show none of the classes, to learn rejection from.
        split: sides as given by folders or lists, drawn again (stratified, or grouped: videos of
            one recording stay together), or all for training.
        val: share of the validation side, where it is drawn.
        test: share of the test side, where it is drawn.
        split_seed: seed of the draw.
        folds: number of folds, instead of a split (grouped, unless split is stratified).
        fold: the fold to validate on.
        flip_labels: classes exchanged in a mirrored video, besides those whose names differ in left
            and right only.
        reverses: classes exchanged when time runs backwards.
    """

    root: str = "videos"
    format: SourceFormat = "folders"
    lists: str | None = None
    list_split: int = 1
    names: list[str] | None = None
    none: str | None = None
    split: SplitMethod = "given"
    val: float = 0.2
    test: float = 0.0
    split_seed: int = 0
    folds: int | None = None
    fold: int = 0
    flip_labels: dict[str, str] = field(default_factory=dict)
    reverses: dict[str, str] = field(default_factory=dict)


@dataclass
class InputConfig:
    """Frames and batches of a classifier's training.

    Attributes:
        size: (height, width) of the network's input, pixels.
        resize: "stretch" fills the input; "letterbox" keeps the frame's shape and pads with grey.
        fps: frames a second at which all videos are shown; "native" shows each at its own (default:
            the rate of most of the training footage).
        batch: clips of one process in one step.
        balance: how far videos of rare classes are repeated, 0 (not at all) to 1 (equal counts).
        reverse_share: share of clips whose time runs backwards (needs `data.reverses`).
        workers: loading processes.
        cache: folder of reduced frames (default: next to the videos).
        cache_kind: store the reduced frames as JPEG, raw, or raw if they fit ("auto").
        skip_bad: leave out videos that cannot be read or are shorter than a clip.
    """

    size: tuple[int, int] = (112, 112)
    resize: Literal["stretch", "letterbox"] = "stretch"
    fps: float | Literal["native"] | None = None
    batch: int = 16
    balance: float = 0.0
    reverse_share: float = 0.0
    workers: int = 2
    cache: str | None = None
    cache_kind: Literal["auto", "jpeg", "raw"] = "auto"
    skip_bad: bool = False


@dataclass
class ModelConfig:
    """The network.

    Attributes:
        name: one of `stadet.classify.models.registry.MODELS`.
        options: keyword arguments of its builder.
        weights: a checkpoint or a public file to start from.
        frozen: prefixes of parameters that keep their weights.
        allow_overlap: start from weights that were trained on videos of this validation side.
    """

    name: str = "resnet3d"
    options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    frozen: list[str] = field(default_factory=list)
    allow_overlap: bool = False


@dataclass
class ClassLossConfig:
    """The loss.

    Attributes:
        label_smoothing: share of the target that is spread over all classes.
        balance: weigh each class by its rarity to this power (0 = equal weights).
    """

    label_smoothing: float = 0.0
    balance: float = 0.0


def _loop() -> LoopConfig:
    return LoopConfig(epochs=50, metric="top1")


@dataclass
class ClassifierConfig:
    """A classifier's training.

    Attributes:
        output: folder of the run.
        seed: of everything random.
        data: the videos.
        second: a data set to train on at the same time, with a head of its own, in alternating
            batches.
    """

    output: str = "runs/classifier"
    seed: int = 0
    data: SourceConfig = field(default_factory=SourceConfig)
    second: SourceConfig | None = None
    input: InputConfig = field(default_factory=InputConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    motion: CameraMotionConfig = field(default_factory=CameraMotionConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: ClassLossConfig = field(default_factory=ClassLossConfig)
    loop: LoopConfig = field(default_factory=_loop)
