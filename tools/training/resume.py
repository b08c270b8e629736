"""Check that a resumed run continues with its original settings and data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError

MAY_CHANGE = frozenset(
    {
        "output",  # a folder may be moved, and so may what the digests of the data identify
        "data.dataset",
        "data.root",
        "data.cache",
        "data.workers",
        "second.root",
        "input.cache",
        "input.workers",
        "loop.log_every",
        "loop.save_minutes",
        "loop.tensorboard",
    }
)


PROLONGS = frozenset({"loop.max_steps", "loop.epochs"})  # a run until a plateau


def expect_same_settings(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """UserError where a setting differs that would change what a run learns.

    before, now: resolved configurations as nested plain data; keys that one of them lacks, as of
    another version, are left out. where: what the message begins with.
    """
    old, new = dict(_flatten(before)), dict(_flatten(now))
    may_change = MAY_CHANGE | (PROLONGS if new.get("loop.until") == "plateau" else set())
    changed = [k for k in old if k in new and old[k] != new[k] and k not in may_change]
    if changed and set(changed) <= PROLONGS:
        raise UserError(
            f"{where}: expected {changed[0]} {old[changed[0]]!r}, as the run began, found "
            f"{new[changed[0]]!r}: a learning rate that falls to the end of a given length cannot "
            "be prolonged; start a new run with yolo.weights or yowo.weights of this one, or with "
            "loop.until=plateau, which can"
        )
    if changed:
        words = "; ".join(f"{k} was {old[k]!r}, is {new[k]!r}" for k in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"{where}: settings changed since the run began: {words}{more}; set them back, or "
            f"start a new run ({', '.join(sorted(may_change))} may change)"
        )


def expect_same_data(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """UserError where a data set is not the one that a run began with.

    before, now: of `stadet.datasets.identity.dataset_identity`.
    """
    from stadet.datasets.identity import differences

    found = differences(before, now)
    if found:
        raise UserError(
            f"{where}: the data changed since the run began: {'; '.join(found)}; restore it, or "
            "start a new run"
        )


def expect_same_run(
    folder: Path, config: Mapping[str, Any], identity: Mapping[str, Any] | None = None
) -> None:
    """UserError unless a run's `last.pt` began with these settings and this data.

    Of checkpoints of earlier versions, which hold no identity, the split is compared.
    """
    from stadet.engine.checkpoint import load_checkpoint

    content = load_checkpoint(folder / "last.pt")
    where = f"{folder}: cannot resume"
    expect_same_settings(content.get("config", {}), config, where)
    if identity is None:
        return
    before = content.get("data")
    if before is None and (split := content.get("split")):
        before = {"split": split["digest"], "videos": split["video_digests"]}
    expect_same_data(before or {}, identity, where)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value
