"""Small charts as inline SVG: axes, lines, bars. Colours and fonts are the page's CSS classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from markupsafe import Markup

from stadet.detect.report.pages import render

Values = Sequence[float] | np.ndarray

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 22, 40


@dataclass(frozen=True)
class Path:
    """A line; d: path data in drawing units; title: shown under the pointer."""

    kind: ClassVar[str] = "path"
    style: str
    d: str
    title: str = ""


@dataclass(frozen=True)
class Dot:
    """A disc around a point in drawing units."""

    kind: ClassVar[str] = "dot"
    style: str
    x: str
    y: str


@dataclass(frozen=True)
class Bar:
    """A rectangle; x, y: its upper left corner in drawing units; title: shown under the pointer."""

    kind: ClassVar[str] = "bar"
    style: str
    x: str
    y: str
    width: str
    height: str
    title: str = ""


@dataclass(frozen=True)
class Text:
    """Words at a point in drawing units; anchor: the part of them that lies there; upright: read
    from below."""

    kind: ClassVar[str] = "text"
    style: str
    x: str
    y: str
    words: str
    anchor: str = "middle"
    upright: bool = False


class Chart:
    """Axes over a data range, filled piece by piece, then rendered.

    x_range, y_range: (low, high) in data units; ticks: (position, label); height, left, right:
    drawing units. The chart scales with its column; texts keep their size relative to it.
    """

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        *,
        x_label: str = "",
        y_label: str = "",
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[tuple[float, str]] | None = None,
        height: int = HEIGHT,
        left: int = LEFT,
        right: int = RIGHT,
    ) -> None:
        self.height, self.left, self.right = height, left, right
        self._x, self._y = _widened(x_range), _widened(y_range)
        self._shapes: list[Path | Dot | Bar | Text] = []
        self._axes(
            round_ticks(self._x) if x_ticks is None else x_ticks,
            round_ticks(self._y) if y_ticks is None else y_ticks,
            x_label,
            y_label,
        )

    def x(self, value: float) -> float:
        """Data to drawing units."""
        low, high = self._x
        return self.left + (value - low) / (high - low) * (WIDTH - self.left - self.right)

    def y(self, value: float) -> float:
        """Data to drawing units."""
        low, high = self._y
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def line(self, x: Values, y: Values, style: str, title: str = "") -> None:
        """A polyline; points that are not finite break it."""
        pieces, pen = [], "M"
        for a, b in zip(x, y, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                pieces.append(f"{pen}{self.x(a):.1f} {self.y(b):.1f}")
                pen = "L"
            else:
                pen = "M"
        if pieces:
            self._shapes.append(Path(style, "".join(pieces), title))

    def dots(self, x: Values, y: Values, style: str) -> None:
        """A dot at each finite point."""
        for a, b in zip(x, y, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                self._shapes.append(Dot(style, f"{self.x(a):.1f}", f"{self.y(b):.1f}"))

    def bar(
        self, corner: tuple[float, float], other: tuple[float, float], style: str, title: str = ""
    ) -> None:
        """A rectangle between two corners in data units."""
        x1, x2 = sorted((self.x(corner[0]), self.x(other[0])))
        y1, y2 = sorted((self.y(corner[1]), self.y(other[1])))
        self._shapes.append(
            Bar(style, f"{x1:.1f}", f"{y1:.1f}", f"{x2 - x1:.1f}", f"{y2 - y1:.1f}", title)
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        anchor: str = "middle",
        shift: tuple[float, float] = (0, -5),
    ) -> None:
        """Words at a point in data units, moved by `shift` drawing units (right, down)."""
        self._shapes.append(
            Text(
                "value",
                f"{self.x(x) + shift[0]:.1f}",
                f"{self.y(y) + shift[1]:.1f}",
                words,
                anchor,
            )
        )

    def render(self, description: str) -> Markup:
        """The SVG element; `description` is read out where the picture cannot be seen."""
        return Markup(
            render(
                "chart.svg",
                width=WIDTH,
                height=self.height,
                shapes=self._shapes,
                description=description,
            )
        )

    def _axes(self, x_ticks, y_ticks, x_label: str, y_label: str) -> None:
        right, bottom = WIDTH - self.right, self.height - BOTTOM
        for value, words in y_ticks:
            y = self.y(value)
            self._shapes += [
                Path("grid", f"M{self.left} {y:.1f}H{right}"),
                Text("tick", f"{self.left - 6}", f"{y + 4:.1f}", words, "end"),
            ]
        for value, words in x_ticks:
            self._shapes.append(Text("tick", f"{self.x(value):.1f}", f"{bottom + 15}", words))
        self._shapes.append(Path("axis", f"M{self.left} {bottom}H{right}"))
        if x_label:
            middle = (self.left + right) / 2
            self._shapes.append(Text("label", f"{middle:g}", f"{self.height - 6}", x_label))
        if y_label:
            middle = (TOP + bottom) / 2
            self._shapes.append(Text("label", "11", f"{middle:g}", y_label, upright=True))


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low, low + 1.0)


def round_ticks(limits: tuple[float, float]) -> list[tuple[float, str]]:
    """Four to six round numbers within the limits."""
    low, high = limits
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    for factor in (1, 2, 2.5, 5, 10):
        if (high - low) / (step * factor) <= 5:
            step *= factor
            break
    first = np.ceil(low / step - 1e-9)
    count = int(np.floor(high / step + 1e-9) - first) + 1
    return [(float(v), f"{v:,.10g}") for v in (first + np.arange(count)) * step]
