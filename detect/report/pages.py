"""Pages from templates: one self-contained HTML file each, no scripts, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = "stadet.detect.report"


@dataclass(frozen=True)
class Cell:
    """A table cell with a bar under its words.

    Attributes:
        words: text of the cell.
        share: length of the bar, 0 to 1; None = no bar.
        style: "quiet" for a grey bar, "" for a coloured one.
    """

    words: str
    share: float | None = None
    style: str = ""


@dataclass(frozen=True)
class Card:
    """A headline figure: its name, its value in percent as text, and a remark in small print."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Picture:
    """A frame of the gallery.

    Attributes:
        anchor: id on the page, which links name; unique on the page.
        jpeg: base64 text.
        caption: words under the picture.
    """

    anchor: str
    jpeg: str
    caption: str


@dataclass(frozen=True)
class Table:
    """A table of texts or `Cell`s.

    Attributes:
        head: headings of the columns.
        rows: cells of each row.
        text: columns of words, which are left-aligned and wrap; others hold numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    text: Sequence[int] = (0,)


def render(template: str, package: str = HERE, **values: Any) -> str:
    """Fill `templates/<template>` of `package`; every value is escaped unless it is `Markup`.

    Templates of other packages may extend and include those of this one. A name that a template
    asks for and `values` lacks raises jinja2's UndefinedError.
    """
    return _environment(package).get_template(template).render(values)


@lru_cache(maxsize=8)
def _environment(package: str) -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader(name) for name in dict.fromkeys((package, HERE))]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["is_cell"] = lambda value: isinstance(value, Cell)
    return environment
