"""Values of scene files: checked as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stadet.detect.scene.scene import Camera, Condition
from stadet.engine.errors import UserError, neighbours
from stadet.engine.reading import shown

ANCHORS = ("center", "top", "bottom")


def condition(value: Any, where: str) -> Condition:
    """Keys `classes` (a name or a list; left out: every class) and `zone`."""
    values = mapping(value, where)
    expect_known(values, {"classes", "zone"}, where)
    classes = values.get("classes")
    if classes is not None:
        classes = names(classes, f"{where}: classes")
        if not classes:
            raise UserError(f"{where}: classes: expected names, found none; leave it out for all")
    zone = values.get("zone")
    return Condition(classes, None if zone is None else named(zone, f"{where}: zone"))


def mapping(value: Any, where: str) -> dict[str, Any]:
    """A mapping; its keys are not looked at."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected key: value lines, found {shown(value)}")
    return value


def listing(value: Any, where: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise UserError(f"{where}: expected a list, found {shown(value)}")
    return value


def named(value: Any, where: str) -> str:
    """A text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: expected a name, found {shown(value)}")
    return value


def names(value: Any, where: str) -> tuple[str, ...]:
    """A name or a list of names."""
    listed = [value] if isinstance(value, str) else listing(value, where)
    return tuple(named(name, where) for name in listed)


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise UserError(f"{where}: expected true or false, found {shown(value)}")
    return value


def one_of(value: Any, known: Iterable[str], where: str) -> str:
    """One of the known words."""
    if value not in known:
        raise UserError(
            f"{where}: expected {', '.join(known)}, found {shown(value)}"
            f"{neighbours(str(value), known)}"
        )
    return str(value)


def expect_known(values: Mapping[str, Any], known: set[str], where: str) -> None:
    """Every key is known; `UserError` with its neighbours otherwise."""
    for key in values:
        if key not in known:
            raise UserError(
                f"{where}: unknown key {shown(key)}{neighbours(str(key), known)}; expected "
                f"{', '.join(sorted(known))}"
            )


def zones_of(cameras: Iterable[Camera]) -> set[str]:
    """Names of the zones of some cameras."""
    return {name for camera in cameras for name in camera.zones}


def check_places(what: str, wanted: Iterable[str | None], known: set[str], where: str) -> None:
    """Every name but None is known; `UserError` with its neighbours otherwise."""
    for name in wanted:
        if name is not None and name not in known:
            raise UserError(
                f"{where}: {what} {name!r} is unknown{neighbours(name, sorted(known))}; expected "
                f"{', '.join(sorted(known)) or f'a {what} in the camera'}"
            )
