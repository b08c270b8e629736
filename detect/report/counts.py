"""What was counted, as JSON, in lines, and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from stadet.detect.metrics.count_errors import CountErrors, StockErrors
from stadet.detect.report import count_charts
from stadet.detect.report.count_charts import MOST, NamedChart
from stadet.detect.report.figures import plain
from stadet.detect.report.pages import Card, Table, render
from stadet.detect.report.words import decimal, percent
from stadet.detect.scene.counted import SceneCounts
from stadet.detect.scene.day import Period
from stadet.detect.tubes.events import time_text

SCHEMA = "stad-counts/1"
ROWS = 200  # of a table on the page
MEALS = 40  # in theirs
MOVES = ("taken", "put back")


@dataclass(frozen=True)
class NamedTable:
    """A table under its heading."""

    heading: str
    table: Table


@dataclass(frozen=True)
class Section:
    """A part of the page; legend: (colour, name)."""

    anchor: str
    heading: str
    remark: str
    charts: list[NamedChart] = field(default_factory=list)
    tables: list[NamedTable] = field(default_factory=list)
    legend: Sequence[tuple[str, str]] = ()


def total_lines(counts: SceneCounts, errors: CountErrors | None) -> Iterable[str]:
    """Totals and errors in a few lines."""
    if counts.rules.meals:
        meals, items = counts.total("meals"), counts.total("items")
        yield f"{meals:,.0f} meals with {items:,.0f} items" + _meal_words(errors)
    for stock in counts.stock:
        error = errors.stock[stock.video.name, stock.bin] if errors else None
        taken, put = _moved(stock.moves)
        yield (
            f"{stock.video.name}: {stock.bin}: {stock.initial} - {taken} + {put} = {stock.final}"
            + (f" (truth {error.final[0]}; {_stock_words(error)})" if error else "")
        )
    for tool in counts.rules.use:
        seconds, uses = counts.total("seconds", tool), counts.total("uses", tool)
        words = f"{tool}: {uses:,.0f} uses, {time_text(seconds)}"
        if errors:
            row = errors.use[tool]
            words += f" (truth {row.uses[0]:,}, {time_text(row.seconds[0])})"
        yield words


def counts_dict(
    counts: SceneCounts, errors: CountErrors | None, notes: Sequence[str]
) -> dict[str, Any]:
    """`stad-counts/1`: sums, stock, notes and errors, ready for JSON."""
    rules = counts.rules
    return plain(
        {
            "schema": SCHEMA,
            "scene": counts.scene.source,
            "videos": [
                {
                    "name": video.name,
                    "camera": video.camera,
                    "begins_s": video.begins,
                    "watched_s": video.watched,
                }
                for video in counts.videos
            ],
            "meals": round(counts.total("meals")) if rules.meals else None,
            "items": round(counts.total("items")) if rules.meals else None,
            "stock": [
                {
                    "video": stock.video.name,
                    "bin": stock.bin,
                    "initial": stock.initial,
                    "taken": _moved(stock.moves)[0],
                    "put_back": _moved(stock.moves)[1],
                    "final": stock.final,
                }
                for stock in counts.stock
            ],
            "use": {
                tool: {
                    "uses": round(counts.total("uses", tool)),
                    "seconds": counts.total("seconds", tool),
                }
                for tool in rules.use
            },
            "notes": list(notes),
            "errors": errors.as_dict() if errors else None,
        }
    )


def counts_page(
    counts: SceneCounts,
    truth: SceneCounts | None = None,
    errors: CountErrors | None = None,
    *,
    notes: Sequence[str] = (),
    source: str = "predictions",
) -> str:
    """One self-contained HTML page.

    Args:
        counts: what was counted.
        truth: the truth's counts beside them; None = none.
        errors: of the counts against the truth's.
        notes: what a reader should know or doubt.
        source: what was counted, in words.
    """
    rules = counts.rules
    watched = sum(video.watched for video in counts.videos)
    sections = []
    if rules.meals:
        sections.append(_meals(counts, truth, errors))
    if rules.bins:
        sections.append(_stock(counts, truth, errors))
    if rules.use:
        sections.append(_use(counts, truth, errors))
    return render(
        "counts.html",
        title="Meals, stock and use",
        facts=[
            ("counted", source + (", beside the truth" if truth else "")),
            ("scene file", counts.scene.source),
            ("videos", f"{len(counts.videos):,}, {time_text(watched)} watched"),
            ("cameras", ", ".join(dict.fromkeys(video.camera for video in counts.videos))),
        ],
        headlines=list(_headlines(errors)) if errors else [],
        notes=list(notes),
        sections=sections,
    )


def _headlines(errors: CountErrors) -> Iterable[Card]:
    meals = errors.meals
    if meals:
        words = f"{meals.truths:,} meals, {meals.found:,} found"
        yield Card("meals with the right number of items", percent(meals.exact), words)
        yield Card("meals with the right content", percent(meals.exact_content), "each item right")
    if errors.stock:
        words = f"mean error {decimal(errors.stock_error, 2)} pieces"
        yield Card("time with the right stock", percent(errors.stock_right), words)
    for tool, row in list(errors.use.items())[:4]:
        words = f"{row.uses[0]:,} uses, {row.uses[1]:,} found"
        yield Card(f"error of the seconds of {tool}", percent(row.relative), words)


def _meals(counts: SceneCounts, truth: SceneCounts | None, errors: CountErrors | None) -> Section:
    meals = [(video, meal) for video in counts.videos for meal in video.meals]
    rows = [
        [
            video.name,
            time_text(video.clock_time(meal.stop)),
            f"{meal.items}",
            meal.content_text,
            f"{meal.taken_back}",
            meal.closed_by,
        ]
        for video, meal in meals
    ]
    head = ["video", "ended", "items", "content", "taken back", "closed by"]
    series = [("meals", "", "meals"), ("items", "", "items")]
    tables = [
        *_period_tables(counts, truth, series, "periods.csv"),
        _table("meal by meal", head, rows, (0, 3, 5), "meals.csv", MEALS),
    ]
    if errors and errors.meals:
        tables.insert(0, NamedTable("against the truth", _meal_table(errors)))
    return Section(
        "meals",
        f"{len(meals):,} meals with {counts.total('items'):,.0f} items",
        f"A meal ends by {_ends(counts)}. Each bar is a meal"
        + ("; the dots are the truth's." if truth else "."),
        [*_first(count_charts.meal_charts(counts, truth)), *_by_period(counts, truth, series, "")],
        tables,
        [("c0", "meals"), ("c1", "items"), *([("truth", "truth")] if truth else [])],
    )


def _ends(counts: SceneCounts) -> str:
    meals = counts.rules.meals
    assert meals is not None
    ways = ["a checkout"] if meals.checkout else []
    ways += [f"{meals.pause:g} s without an item"] if meals.pause < float("inf") else []
    return " or by ".join(ways)


def _stock(counts: SceneCounts, truth: SceneCounts | None, errors: CountErrors | None) -> Section:
    rows = []
    for stock in counts.stock:
        taken, put = _moved(stock.moves)
        row = [stock.video.name, stock.bin, *map(str, (stock.initial, taken, put, stock.final))]
        if errors:
            error = errors.stock[stock.video.name, stock.bin]
            row += [f"{error.final[0]}", decimal(error.mean_absolute, 2), percent(error.right)]
        rows.append(row)
    head = ["video", "bin", "beginning", "taken", "put back", "end"]
    head += ["truth's end", "mean error", "right, % of time"] if errors else []
    found = list(islice(count_charts.stock_charts(counts, truth), MOST + 1))
    return Section(
        "stock",
        "Stock over time",
        ("Dashed: the truth. " if truth else "")
        + (f"The first {MOST} bins are drawn; stock.csv holds all." if len(found) > MOST else ""),
        found[:MOST],
        [
            _table("bin by bin", head, rows, (0, 1), "stock.csv"),
            *_moves_by_period(counts, truth),
        ],
    )


def _use(counts: SceneCounts, truth: SceneCounts | None, errors: CountErrors | None) -> Section:
    tools = list(counts.rules.use)
    seconds = [("seconds", tool, tool) for tool in tools]
    shown = [*seconds, *(("uses", tool, f"{tool}, uses") for tool in tools)]
    rows = []
    for tool in tools:
        row = [tool, f"{counts.total('uses', tool):,.0f}", f"{counts.total('seconds', tool):,.1f}"]
        if errors:
            error = errors.use[tool]
            row += [f"{error.uses[0]:,}", f"{error.seconds[0]:,.1f}", percent(error.relative)]
        rows.append(row)
    head = ["", "uses", "seconds"]
    head += ["uses in truth", "seconds in truth", "error of seconds, %"] if errors else []
    return Section(
        "use",
        "Use of tools and hands",
        "The narrow grey bars and the dots are the truth's." if truth else "",
        [
            *_first(count_charts.use_charts(counts, truth)),
            *_by_period(counts, truth, seconds, "seconds"),
        ],
        [
            NamedTable("in all", Table(head, rows)),
            *_period_tables(counts, truth, shown, "use.csv"),
        ],
        [(f"c{n % count_charts.COLOURS}", tool) for n, tool in enumerate(tools)],
    )


def _by_period(
    counts: SceneCounts,
    truth: SceneCounts | None,
    series: Sequence[tuple[str, str, str]],
    label: str,
) -> Iterable[NamedChart]:
    label = label or " and ".join(words for *_, words in series)
    for by in dict.fromkeys(period.by for _, period in counts.totals):
        chart = count_charts.period_chart(counts, truth, by, series, label)
        yield NamedChart(f"{label} by {by}", chart)


def _moves_by_period(counts: SceneCounts, truth: SceneCounts | None) -> Iterable[NamedTable]:
    """A row for each camera, hour or shift, and bin of the camera; in brackets the truth."""
    for by in dict.fromkeys(period.by for _, period in counts.totals):
        rows = [
            [
                camera,
                period.name,
                box.name,
                *(_beside(counts, truth, (camera, period), (what, box.name)) for what in MOVES),
            ]
            for camera, period in counts.totals
            if period.by == by
            for box in counts.bins_of(camera)
        ]
        heading = f"by {by}" + (", in brackets the truth" if truth else "")
        head = ["camera", by, "bin", *MOVES]
        yield _table(heading, head, rows, (0, 1, 2), "periods.csv")


def _beside(
    counts: SceneCounts,
    truth: SceneCounts | None,
    place: tuple[str, Period],
    what: tuple[str, str],
) -> str:
    """A sum of one camera and period, in brackets the truth's."""
    words = f"{counts.totals[place].get(what, 0.0):,.0f}"
    return f"{words} ({truth.totals.get(place, {}).get(what, 0.0):,.0f})" if truth else words


def _period_tables(
    counts: SceneCounts,
    truth: SceneCounts | None,
    series: Sequence[tuple[str, str, str]],
    file: str,
) -> Iterable[NamedTable]:
    """A row for each camera and hour or shift; in brackets the truth."""
    for by in dict.fromkeys(period.by for _, period in counts.totals):
        rows = []
        for (camera, period), sums in counts.totals.items():
            if period.by != by:
                continue
            row = [camera, period.name, time_text(sums.get(("watched", ""), 0.0))]
            for what, name, _ in series:
                row.append(_beside(counts, truth, (camera, period), (what, name)))
            rows.append(row)
        heading = f"by {by}" + (", in brackets the truth" if truth else "")
        head = ["camera", by, "watched", *(words for *_, words in series)]
        yield _table(heading, head, rows, (0, 1), file)


def _table(
    heading: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: tuple[int, ...],
    file: str,
    most: int = ROWS,
) -> NamedTable:
    """A table of at most so many rows; its heading tells how many are left to the file."""
    if len(rows) > most:
        heading += f" (the first {most} of {len(rows):,}; {file} holds all)"
    return NamedTable(heading, Table(head, rows[:most], text=text))


def _meal_table(errors: CountErrors) -> Table:
    meals = errors.meals
    assert meals is not None
    return Table(
        ["", "truth", "found"],
        [
            ["meals", f"{meals.truths:,}", f"{meals.found:,}"],
            ["items", f"{meals.total_items[0]:,}", f"{meals.total_items[1]:,}"],
            ["meals that are the same", "", f"{meals.matched:,}"],
            ["with the right number of items, %", "", percent(meals.exact)],
            ["with the right content, %", "", percent(meals.exact_content)],
            ["mean error of the items of a meal", "", decimal(meals.items, 2)],
        ],
    )


def _first(charts: Iterable[NamedChart]) -> list[NamedChart]:
    return list(islice(charts, MOST))


def _moved(moves: Sequence[Any]) -> tuple[int, int]:
    """(taken, put back)"""
    taken = sum(move.change < 0 for move in moves)
    return taken, len(moves) - taken


def _meal_words(errors: CountErrors | None) -> str:
    if errors is None or errors.meals is None:
        return ""
    meals = errors.meals
    return (
        f" (truth {meals.truths:,} with {meals.total_items[0]:,}; {percent(meals.exact)} % of the "
        "truth's meals with the right number)"
    )


def _stock_words(error: StockErrors) -> str:
    return (
        f"mean error {decimal(error.mean_absolute, 2)}, right {percent(error.right)} % of the time"
    )
