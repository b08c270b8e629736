"""Overlap of the frames a model was trained on with the frames that judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stadet.datasets.splits.split import Split
from stadet.engine.errors import UserError

JUDGING_SIDES = ("val", "test")


def overlap(
    trained_on: Split, split: Split, sides: Sequence[str] = JUDGING_SIDES
) -> dict[str, dict[str, int]]:
    """Frames of `split`'s `sides` that are in `trained_on`'s train: side -> video -> count.

    Videos are the same where their content keys are equal, or, where either has none, their names.
    """
    trained = trained_on.masks.get("train", {})
    result: dict[str, dict[str, int]] = {}
    for side in sides:
        for name, mask in split.masks.get(side, {}).items():
            count = 0
            for other, theirs in trained.items():
                if _same_video(name, split.video_digests, other, trained_on.video_digests):
                    shared = min(len(mask), len(theirs))
                    count += int((mask[:shared] & theirs[:shared]).sum())
            if count:
                result.setdefault(side, {})[name] = count
    return result


def refuse_overlap(
    trained_on: Split,
    split: Split,
    *,
    what: str = "the checkpoint",
    sides: Sequence[str] = JUDGING_SIDES,
    allow: str = "set allow_overlap",
) -> None:
    """UserError where `what` was trained on frames that this split judges on.

    allow: the option with which the user continues all the same.
    """
    found = overlap(trained_on, split, sides)
    if found:
        side = next(iter(found))
        name, count = next(iter(found[side].items()))
        total = sum(sum(videos.values()) for videos in found.values())
        raise UserError(
            f"{what} was trained on {total} frames of this split's {' and '.join(found)} side "
            f"({count} of video {name!r}); use the split it was trained with, or {allow}"
        )


def refuse_duplicates(
    split: Split, remedy: str = "list both under views, or set split.allow_overlap: true"
) -> None:
    """UserError where the same footage, under two names, has frames on train and on a judging side.

    Videos are told by their content keys, so that a copy is found and a re-encoding is not.
    """
    trained = split.masks.get("train", {})
    for side in JUDGING_SIDES:
        for name, mask in split.masks.get(side, {}).items():
            key = split.video_digests.get(name)
            for other, theirs in trained.items() if key else ():
                if other == name or split.video_digests.get(other) != key:
                    continue
                shared = min(len(mask), len(theirs))
                count = int((mask[:shared] & theirs[:shared]).sum())
                if count:
                    raise UserError(
                        f"split: videos {other!r} and {name!r} are the same footage, and {count} "
                        f"frames of it are on train and on {side}; remove one, {remedy}"
                    )


def _same_video(a: str, digests_a: Mapping[str, str], b: str, digests_b: Mapping[str, str]) -> bool:
    if a in digests_a and b in digests_b:
        return digests_a[a] == digests_b[b]
    return a == b
