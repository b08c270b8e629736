"""From the `data` section of a classifier's configuration to labelled videos on their sides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stadet.datasets.label_maps import symmetric_labels
from stadet.datasets.labelled.array_clips import read_array_clips
from stadet.datasets.labelled.folders import (
    read_class_folders,
    read_handwash,
    read_ucf11,
    read_unknown,
)
from stadet.datasets.labelled.labelled_video import ClassificationSet
from stadet.datasets.labelled.lists import mirrored_labels, read_hmdb51, read_jester, read_ucf101
from stadet.datasets.labelled.splits import deal_sides, folds
from stadet.engine.errors import UserError
from stadet.tools.classification.config import SourceConfig


def read_source(config: SourceConfig) -> ClassificationSet:
    """The labelled videos of a configuration, each on its side; nothing is opened."""
    data = _read(config)
    pairs = {**mirrored_labels(data.names), **data.flip_labels}
    for one, other in config.flip_labels.items():
        pairs = {a: b for a, b in pairs.items() if not {a, b} & {one, other}} | {one: other}
    data = ClassificationSet(
        data.names, data.items, data.fps, symmetric_labels(pairs, data.names, "data.flip_labels")
    )
    data = _deal(data, config)
    if config.none:
        data = data.with_unknown(_deal_unknown(config))
    return data


def reverses_of(config: SourceConfig, data: ClassificationSet) -> Mapping[str, str]:
    """Both directions of the classes that swap when time runs backwards."""
    return symmetric_labels(config.reverses, data.names, "data.reverses")


def _read(config: SourceConfig) -> ClassificationSet:
    root, lists = Path(config.root), Path(config.lists or config.root)
    listed = config.format in ("ucf101", "hmdb51", "jester", "keypoints")
    if listed and config.names:
        raise UserError(f"data.names: {config.format} brings its own order of classes; leave it")
    if config.format == "ucf101":
        return read_ucf101(root, lists, config.list_split)
    if config.format == "hmdb51":
        return read_hmdb51(root, lists, config.list_split)
    if config.format == "jester":
        return read_jester(root, lists)
    if config.format == "keypoints":
        return read_array_clips(root)[0]
    read = {"folders": read_class_folders, "handwash": read_handwash, "ucf11": read_ucf11}
    return read[config.format](root, names=config.names)


def _deal(data: ClassificationSet, config: SourceConfig) -> ClassificationSet:
    if config.folds is None:
        return deal_sides(
            data, config.split, val=config.val, test=config.test, seed=config.split_seed
        )
    if not 0 <= config.fold < config.folds:
        raise UserError(f"data.fold: expected 0 to {config.folds - 1}, found {config.fold}")
    grouped = config.split != "stratified"
    fold = folds(data, config.folds, config.split_seed, grouped=grouped)
    return data.on_sides(["val" if f == config.fold else "train" for f in fold])


def _deal_unknown(config: SourceConfig):
    """Videos of no class on the sides of their folders, or drawn like one more class."""
    items = read_unknown(Path(config.none))
    if all(item.side for item in items):
        return items
    alone = ClassificationSet(("none",), tuple(items))
    shares = {"val": config.val or 0.2, "test": config.test}
    return deal_sides(alone, "stratified", **shares, seed=config.split_seed).items
