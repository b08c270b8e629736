"""Small charts as inline SVG: axes, lines, bars. Colours and fonts are the page's CSS classes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 40


class Chart:
    """Axes over a data range, filled piece by piece, then rendered.

    x_range, y_range: (low, high) in data units; ticks: (position, label). The chart scales with
    its column; texts keep their size relative to it.
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
    ) -> None:
        self.height, self.left = height, left
        self._x, self._y = _widened(x_range), _widened(y_range)
        self._parts: list[str] = []
        self._axes(
            round_ticks(self._x) if x_ticks is None else x_ticks,
            round_ticks(self._y) if y_ticks is None else y_ticks,
            x_label,
            y_label,
        )

    def x(self, value: float) -> float:
        """Data to drawing units."""
        low, high = self._x
        return self.left + (value - low) / (high - low) * (WIDTH - self.left - RIGHT)

    def y(self, value: float) -> float:
        """Data to drawing units."""
        low, high = self._y
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def line(self, x: Sequence[float], y: Sequence[float], style: str, title: str = "") -> None:
        """A polyline; points that are not finite break it."""
        pieces, pen = [], "M"
        for a, b in zip(x, y, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                pieces.append(f"{pen}{self.x(a):.1f} {self.y(b):.1f}")
                pen = "L"
            else:
                pen = "M"
        if pieces:
            self._add(f'<path class="{style}" d="{"".join(pieces)}">{_title(title)}</path>')

    def dots(self, x: Sequence[float], y: Sequence[float], style: str) -> None:
        """A dot at each finite point."""
        for a, b in zip(x, y, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                self._add(
                    f'<circle class="{style}" cx="{self.x(a):.1f}" cy="{self.y(b):.1f}" r="3.2"/>'
                )

    def bar(
        self, corner: tuple[float, float], other: tuple[float, float], style: str, title: str = ""
    ) -> None:
        """A rectangle between two corners in data units."""
        x1, x2 = sorted((self.x(corner[0]), self.x(other[0])))
        y1, y2 = sorted((self.y(corner[1]), self.y(other[1])))
        self._add(
            f'<rect class="{style}" x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" '
            f'height="{y2 - y1:.1f}">{_title(title)}</rect>'
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
        self._add(
            f'<text class="value" x="{self.x(x) + shift[0]:.1f}" y="{self.y(y) + shift[1]:.1f}" '
            f'text-anchor="{anchor}">{escape(words)}</text>'
        )

    def render(self, description: str) -> str:
        """The SVG element; `description` is read out where the picture cannot be seen."""
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(description, quote=True)}">{"".join(self._parts)}</svg>'
        )

    def _add(self, part: str) -> None:
        self._parts.append(part)

    def _axes(self, x_ticks, y_ticks, x_label: str, y_label: str) -> None:
        right, bottom = WIDTH - RIGHT, self.height - BOTTOM
        for value, words in y_ticks:
            y = self.y(value)
            self._add(f'<path class="grid" d="M{self.left} {y:.1f}H{right}"/>')
            self._add(
                f'<text class="tick" x="{self.left - 6}" y="{y + 4:.1f}" '
                f'text-anchor="end">{escape(words)}</text>'
            )
        for value, words in x_ticks:
            self._add(
                f'<text class="tick" x="{self.x(value):.1f}" y="{bottom + 15}" '
                f'text-anchor="middle">{escape(words)}</text>'
            )
        self._add(f'<path class="axis" d="M{self.left} {bottom}H{right}"/>')
        middle = (self.left + right) / 2
        if x_label:
            self._add(
                f'<text class="label" x="{middle}" y="{self.height - 6}" '
                f'text-anchor="middle">{escape(x_label)}</text>'
            )
        if y_label:
            y = (TOP + bottom) / 2
            self._add(
                f'<text class="label" transform="translate(11 {y}) rotate(-90)" '
                f'text-anchor="middle">{escape(y_label)}</text>'
            )


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


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
