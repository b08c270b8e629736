"""Configurations of models and of the field's data sets, as YAML files."""

from __future__ import annotations

from pathlib import Path

from stadet.engine.errors import UserError, neighbours
from stadet.engine.signatures import checked

FOLDER = Path(__file__).resolve().parent


def config_names() -> list[str]:
    """Names of the configurations that come with the toolkit, which `find_config` takes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@checked
def find_config(name: str | Path) -> Path:
    """A configuration by path, or by name where it comes with the toolkit.

    Args:
        name: path of a file, or `"restaurant_yolov3"`, also written `"restaurant_yolov3.yaml"` or
            `"configs/restaurant_yolov3.yaml"`. A file of that path comes first.

    Raises:
        UserError: where there is neither.

    Examples:
        >>> find_config("restaurant_yolov3").name
        'restaurant_yolov3.yaml'
    """
    path = Path(name)
    if path.is_file():
        return path
    short = path.with_suffix("") if path.suffix == ".yaml" else path
    if short.parent in (Path(), Path("configs")) and short.name in config_names():
        return FOLDER / f"{short.name}.yaml"
    if not config_names():
        raise UserError(
            f"{FOLDER}: expected the toolkit's configurations, found none; install stadet again"
        )
    raise UserError(
        f"{name}: expected a configuration file, or one of the toolkit's by name"
        f"{neighbours(short.name, config_names())}, found neither; the names are "
        f"{', '.join(config_names())}"
    )
