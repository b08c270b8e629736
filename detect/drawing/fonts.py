"""Fonts for class names in any script, as far as the machine has them."""

from __future__ import annotations

from functools import lru_cache

# Tried in this order after DejaVu Sans, which matplotlib brings along.
FAMILIES = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Hiragino Sans",
    "PingFang SC",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)


@lru_cache(maxsize=1)
def font_files() -> dict[str, str]:
    """Family name -> file, in order of preference."""
    from pathlib import Path

    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {entry.name: entry.fname for entry in fontManager.ttflist}
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    others = {name: installed[name] for name in FAMILIES if name in installed}
    return {"DejaVu Sans": str(own), **others}


def font_for(text: str) -> str:
    """File of the first font that has every letter of `text`, else DejaVu Sans."""
    files = list(font_files().values())
    return next((file for file in files if all(ord(c) in _letters(file) for c in text)), files[0])


@lru_cache(maxsize=32)
def _letters(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(file).get_charmap())
