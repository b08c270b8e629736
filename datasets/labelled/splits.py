"""Dealing labelled videos to sides and folds: stratified by class, whole groups where asked."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np

from stadet.datasets.labelled.labelled_video import ClassificationSet
from stadet.engine.errors import UserError

SplitMethod = Literal["given", "stratified", "grouped", "all"]


def deal_sides(
    data: ClassificationSet,
    method: SplitMethod = "given",
    *,
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
) -> ClassificationSet:
    """The set with a side for each video.

    given: the sides of the folders or lists; where they have no validation side, a share `val` of
    the training side becomes it, by whole groups where groups hold several videos. stratified,
    grouped: drawn again in shares, alike in every class; grouped keeps each group whole. all: every
    video trains (a last model on everything, with nothing left to judge it by).
    """
    if method == "all":
        return data.on_sides(["train"] * len(data))
    if method != "given":
        shares = {"test": test, "val": val}
        return _deal(data, shares, seed, grouped=method == "grouped")
    if "train" not in data.sides:
        raise UserError(
            "split 'given': the data have no sides of their own; use stratified or grouped"
        )
    if "val" in data.sides:
        return data
    train = data.side("train")
    dealt = _deal(train, {"val": val}, seed, grouped=len(set(train.groups)) < len(train))
    by_name = {item.name: item.side for item in dealt.items}
    return data.on_sides([by_name.get(item.name, item.side) for item in data.items])


def folds(data: ClassificationSet, count: int, seed: int, *, grouped: bool = True) -> np.ndarray:
    """(N,) fold of each video, 0..count-1, classes spread alike; `grouped` keeps groups whole.

    UserError where there are fewer groups (or videos of a class) than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    units = len(set(data.groups)) if grouped else int(data.counts().max())
    if not 2 <= count <= units:
        what = "groups" if grouped else "videos of the largest class"
        raise UserError(f"folds: expected 2 to {units} (the {what}), found {count}")
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    splitter = kind(n_splits=count, shuffle=True, random_state=seed)
    # rare classes leave folds without them: the caller's sides are checked after
    with _no_rare_class_warnings():
        parts = splitter.split(np.zeros(len(data)), data.labels, data.groups if grouped else None)
        fold = np.empty(len(data), dtype=np.int64)
        for number, (_, held_out) in enumerate(parts):
            fold[held_out] = number
    return fold


def _deal(
    data: ClassificationSet, shares: dict[str, float], seed: int, *, grouped: bool
) -> ClassificationSet:
    if not (all(s >= 0 for s in shares.values()) and sum(shares.values()) < 1):
        raise UserError(f"split: expected shares of at least 0 with a sum below 1, found {shares}")
    side = np.full(len(data), "train", dtype=object)
    for name, share in shares.items():
        rest = np.flatnonzero(side == "train")
        if share > 0:
            left = 1 - sum(s for other, s in shares.items() if (side == other).any())
            chosen = _share_of(data.choose(side == "train"), share / left, seed, grouped)
            side[rest[chosen]] = name
    return data.on_sides(side.tolist())


def _share_of(data: ClassificationSet, share: float, seed: int, grouped: bool) -> np.ndarray:
    """Positions of about `share` of the videos, at least one."""
    if not grouped:
        return _stratified_share(data, share, seed)
    groups = len(set(data.groups))
    count = min(max(2, round(1 / share)), groups)
    fold = folds(data, count, seed)
    wanted = max(1, round(share * count))  # 0.4 of five folds is two of them
    return np.flatnonzero(fold < wanted)


def _stratified_share(data: ClassificationSet, share: float, seed: int) -> np.ndarray:
    """`share` of every class, rounded, at least one and never all of a class of several."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(data.labels):
        members = rng.permutation(np.flatnonzero(data.labels == label))
        count = min(max(1, round(share * len(members))), len(members) - 1)
        chosen.append(members[:count])
    return np.sort(np.concatenate(chosen))


@contextlib.contextmanager
def _no_rare_class_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield
