"""Label maps: classes that are exchanged when a clip is mirrored or its time runs backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stadet.engine.errors import UserError, neighbours


def symmetric_labels(
    pairs: Mapping[str, str], names: Sequence[str], what: str = "flip_labels"
) -> dict[str, str]:
    """Both directions of a label map. UserError for an unknown class or one with two partners."""
    result: dict[str, str] = {}
    for one, other in pairs.items():
        for name in (one, other):
            if name not in names:
                raise UserError(
                    f"{what}: expected class names of the data set, found "
                    f"{name!r}{neighbours(name, names)}"
                )
        for name, partner in ((one, other), (other, one)):
            if result.setdefault(name, partner) != partner:
                raise UserError(
                    f"{what}: {name!r} is paired with {result[name]!r} and with {partner!r}"
                )
    return result


def swap_order(names: Sequence[str], swaps: Mapping[str, str], what: str) -> np.ndarray:
    """(C,) order of columns such that `labels[:, order]` has the classes of `swaps` exchanged.

    swaps: both directions. UserError as for `symmetric_labels`, and where one direction is missing.
    """
    for one, other in symmetric_labels(swaps, names, what).items():
        if swaps.get(one) != other:
            raise UserError(
                f"{what}: {other!r} becomes {one!r}, so {one!r} must become {other!r}; found "
                f"{swaps.get(one)!r}"
            )
    return np.array([names.index(swaps.get(name, name)) for name in names], dtype=np.int64)
