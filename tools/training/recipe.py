"""The models that `stad train` knows: what a model has to bring, and the table of them.

A model of your own needs no change in this tree: write a `Recipe`, and name it in the
configuration as `model: my_package.my_module:MyRecipe`, or give it a short name, either with
`register` or as an entry point of the group `stadet.recipes` in your package's pyproject.toml.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from stadet.engine.errors import UserError, neighbours
from stadet.tools.training.config import TrainConfig

if TYPE_CHECKING:
    from stadet.anchors.anchors import Anchors
    from stadet.datasets.splits.split import Split
    from stadet.detect.detector import Detector
    from stadet.detect.inference import InferenceConfig
    from stadet.detect.structures import AnnotationSet
    from stadet.detect.yolo.weights_report import WeightsReport
    from stadet.engine.training_step import EpochSampler, TrainingStep
    from stadet.tools.training.data import Footage

ENTRY_POINTS = "stadet.recipes"
TRUSTED = "STADET_RECIPES"  # environment variable: module:Class that files may name, by commas

BUILT_IN = {
    "yolo": "stadet.tools.training.recipes.yolo:YoloRecipe",
    "recurrent-yolo": "stadet.tools.training.recipes.recurrent_yolo:RecurrentYoloRecipe",
    "stacked-yolo": "stadet.tools.training.recipes.stacked_yolo:StackedYoloRecipe",
    "yowo": "stadet.tools.training.recipes.yowo:YowoRecipe",
    "ultralytics": "stadet.tools.training.recipes.ultralytics:UltralyticsRecipe",
    "recurrent-ultralytics": (
        "stadet.tools.training.recipes.ultralytics:RecurrentUltralyticsRecipe"
    ),
}
_registered: dict[str, type[Recipe]] = {}


@dataclass(frozen=True)
class AnchorChoice:
    """Anchors that a configuration asks for.

    Attributes:
        wanted: a strategy on the training side, the name of a preset, or a file.
        count: anchors over all levels, of a strategy.
        strides: of the detection levels in network pixels, finest first.
    """

    wanted: str
    count: int
    strides: tuple[int, ...]


class Recipe:
    """Configuration, checks, construction, starting weights and training of one model.

    A subclass gives at least `build_base`, `step` and `sampler`.

    Attributes:
        key: the model's own section of the configuration, as `yowo` in `yowo.backbone`. Default "".
        section: the dataclass of that section; its fields are checked like all other keys, and its
            `__post_init__` may raise UserError. None (the default) = the model has no section.
        has_public_weights: whether `stad import-weights` may make a checkpoint of it. Default
            False.
        around_detector: whether it is built around a frame detector, whose settings it takes from
            the checkpoint in `yolo.weights` where they are not given. Default False.
        detector: the section that describes that frame detector. Default "yolo".
        config: the run's configuration.
        name: what `model` says in it.
    """

    key: ClassVar[str] = ""
    section: ClassVar[type | None] = None
    has_public_weights: ClassVar[bool] = False
    around_detector: ClassVar[bool] = False
    detector: ClassVar[str] = "yolo"

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.name = config.model

    @property
    def own(self) -> Any:
        """The model's own section of the configuration."""
        return getattr(self.config, self.key)

    def check(self) -> None:
        """UserError for a configuration that no data can make work, before any of it is read."""

    def anchors(self) -> AnchorChoice | None:
        """The anchors to find; None (the default) for a model without."""
        return None

    def build_base(self, num_classes: int, anchors: Anchors | None) -> Detector:
        """The network that starting weights are for, with initial weights."""
        raise NotImplementedError(f"{type(self).__name__}.build_base")

    def complete(self, base: Detector) -> Detector:
        """The network that is trained, built around `base`; by default `base` itself."""
        return base

    def build(self, num_classes: int, anchors: Anchors | None) -> Detector:
        """The whole network, with initial weights."""
        return self.complete(self.build_base(num_classes, anchors))

    def load_weights(self, base: Detector, split: Split) -> list[WeightsReport]:
        """Fill `base` from the files that the configuration names, and tell what was used of each.

        UserError for a checkpoint that was trained on frames on which `split` judges.
        """
        return []

    def published_inference(self) -> InferenceConfig | None:
        """From output to boxes as the authors of public weights of this model do; None (the
        default): as the configuration says."""
        return None

    def freeze(self, model: Detector) -> None:
        """Fix the parts of `build`'s network that the configuration names."""

    def step(self, anchors: Anchors | None, train: AnnotationSet) -> TrainingStep:
        """The training step. train: the truth of the training side."""
        raise NotImplementedError(f"{type(self).__name__}.step")

    def sampler(self, footage: Footage, train: AnnotationSet) -> EpochSampler:
        """The batch sampler over this process's share of the training side."""
        raise NotImplementedError(f"{type(self).__name__}.sampler")

    def frame_step(self) -> int:
        """Distance in frames between two frames of a clip, or of a stream, in use; by default 1."""
        return 1

    @staticmethod
    def expect_anchors(anchors: Anchors | None) -> Anchors:
        """The anchors of a model that has asked for them."""
        assert anchors is not None, "a recipe whose `anchors` returns a choice gets anchors"
        return anchors

    def reach(self) -> tuple[int, int] | None:
        """Numbers of frames that the model's clips reach before and after a looked-at frame; None
        (the default) = without end."""
        return None


def register(name: str, recipe: type[Recipe]) -> None:
    """Make `model: name` mean `recipe` in this process. UserError for a name that is taken."""
    _expect_recipe(recipe, name)
    if name in BUILT_IN or _registered.get(name, recipe) is not recipe:
        raise UserError(f"recipe {name!r}: the name is taken; choose another")
    _registered[name] = recipe


def recipe_names() -> list[str]:
    """The names that `model` may have, without those given as `module:Class`."""
    others = {*_registered, *(point.name for point in entry_points(group=ENTRY_POINTS))}
    return [*BUILT_IN, *sorted(others - set(BUILT_IN))]


def find_recipe(name: str, source: str = "model", *, may_import: bool = True) -> type[Recipe]:
    """The recipe class that `model: name` means.

    source: of the name, for messages. may_import: import `module:Class`; False where a file of
    unknown origin names it (a checkpoint must not decide which code runs): then it must be
    known already, by `register`, an entry point, or the environment variable STADET_RECIPES.
    UserError for an unknown name, and for a module that cannot be imported or has no such recipe.
    """
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        return _import(BUILT_IN[name], source)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            return _import(point.value, f"entry point {name}")
    if ":" not in name:
        known = recipe_names()
        raise UserError(
            f"{source}: expected one of {', '.join(known)}, or module:Class of a recipe, found "
            f"{name!r}{neighbours(name, known)}"
        )
    if not may_import and name not in os.environ.get(TRUSTED, "").split(","):
        raise UserError(
            f"{source}: its model is {name}, code of another package that this file may not choose "
            f"to run; if you trust it, set {TRUSTED}={name} in the environment"
        )
    _registered[name] = _import(name, source)
    return _registered[name]


@functools.lru_cache
def config_class(recipe: type[Recipe]) -> type[TrainConfig]:
    """`TrainConfig` with the recipe's own section, where it is not one of the toolkit's."""
    if recipe.section is None:
        return TrainConfig
    taken = {entry.name: entry.default_factory for entry in dataclasses.fields(TrainConfig)}
    if taken.get(recipe.key) is recipe.section:
        return TrainConfig
    if not (dataclasses.is_dataclass(recipe.section) and recipe.key.isidentifier()):
        raise UserError(
            f"recipe {recipe.__name__}: expected a dataclass as section and its name as key, found "
            f"{recipe.section!r} and {recipe.key!r}"
        )
    if recipe.key in taken:
        raise UserError(f"recipe {recipe.__name__}: the key {recipe.key!r} is taken; use another")
    own = (recipe.key, recipe.section, dataclasses.field(default_factory=recipe.section))
    made = dataclasses.make_dataclass(f"TrainConfig_{recipe.key}", [own], bases=(TrainConfig,))
    made.__module__ = __name__
    globals()[made.__name__] = made  # jsonargparse looks a class up by its name
    return made


def _import(place: str, source: str) -> type[Recipe]:
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{source}: expected a recipe at {place}, found none ({error}); is its package "
            "installed, or its folder in PYTHONPATH?"
        ) from error
    _expect_recipe(found, place)
    return found


def _expect_recipe(found: object, name: str) -> None:
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise UserError(f"{name}: expected a subclass of stadet's Recipe, found {found!r}")
