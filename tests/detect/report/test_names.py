"""Class names that mean something in HTML, Markdown, SVG, CSV or mathtext are shown as they are."""

import csv
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from stadet.classify.answers import Answers
from stadet.classify.report import write_report as write_classifier_report
from stadet.detect.drawing.short_names import shortened
from stadet.detect.metrics.evaluation import evaluate
from stadet.detect.report.build import write_report
from stadet.detect.report.comparison import compare, read_run, write_comparison
from stadet.detect.report.markdown import escaped, table
from stadet.detect.structures import AnnotationSet
from stadet.detect.tubes.event_plot import plot_events
from stadet.detect.tubes.events import Event, count_over_time, write_counts, write_events
from tests.detect.metrics.generated import random_problem

LONG = "pick up the green chopping board with the left hand while the other one waits " * 3
NAMES = (
    "<script>alert(1)</script>",
    "a|b",
    "=1+1",
    LONG.strip(),
    "洗手 の 手順",
    "рука берёт нож",
    "cut & serve",
    'say "hi" <img src=x onerror=alert(1)>',
    "$x_1$ * _y_ [z](w) `q` &lt;",
)


class Texts(HTMLParser):
    """Tags of a page, the texts of its cells, the ids, and where its links lead."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.cells, self.ids, self.links, self._cell = set(), [], set(), [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.add(tag)
        assert not any(name.startswith("on") for name in values)
        self.ids |= {values["id"]} if "id" in values else set()
        self.links += [values["href"]] if "href" in values else []
        if tag in ("td", "th"):
            self._cell = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cells.append(self._cell)
            self._cell = None


def markdown_rows(text):
    """Cells of the tables of a Markdown text, by an obvious reading of GFM's rules."""
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|:-]+", line):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            yield [re.sub(r"\\(?=\W|_)", "", cell).strip() for cell in cells]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    annotations, detections = random_problem(0, videos=12, frames=20, classes=len(NAMES))
    annotations = AnnotationSet(NAMES, annotations.videos)
    detections = replace(detections, names=NAMES)
    evaluation = evaluate(annotations, detections, min_clips=1, replicates=20)
    for run in ("a", "<b>b|b"):
        write_report(
            folder / run,
            evaluation,
            annotations,
            detections,
            title=NAMES[0],
            frame_of=lambda video, frame: np.full((200, 200, 3), 90, dtype=np.uint8),
            gallery=2,
        )
    write_comparison(folder, compare([read_run(folder / "a"), read_run(folder / "<b>b|b")], 20))
    rng = np.random.default_rng(0)
    count, classes = 60, len(NAMES)
    answers = Answers(
        NAMES,
        tuple(f"=video {i}|<i>.mp4" for i in range(count)),
        rng.integers(0, classes, count),
        rng.dirichlet(np.ones(classes), count),
        np.full(count, np.nan),
    )
    write_classifier_report(folder / "classifier", answers, title=NAMES[0])
    return folder


@pytest.mark.parametrize("page", ["a/report.html", "compare.html", "classifier/report.html"])
def test_pages_show_names_and_hold_no_foreign_elements(reports, page):
    found = Texts((reports / page).read_text())
    assert not found.tags & {"script", "img"} - ({"img"} if page == "a/report.html" else set())
    assert set(NAMES) <= set(found.cells)


def test_links_lead_to_the_frames(reports):
    found = Texts((reports / "a" / "report.html").read_text())
    assert len(found.links) >= 6  # two of most of the six kinds
    assert {link.removeprefix("#") for link in found.links} <= found.ids


def test_without_pictures_frames_are_named_and_nothing_is_linked(tmp_path):
    annotations, detections = random_problem(0, videos=12)
    evaluation = evaluate(annotations, detections, min_clips=1, replicates=0)
    write_report(tmp_path, evaluation, annotations, detections)
    page = (tmp_path / "report.html").read_text()
    assert "Where to look" in page and not Texts(page).links


@pytest.mark.parametrize("text", ["a/report.md", "compare.md"])
def test_markdown_tables_keep_their_columns(reports, text):
    rows = list(markdown_rows((reports / text).read_text()))
    shown = [row[0] for row in rows]
    for name in NAMES:
        assert name in shown
    with_name = [row for row in rows if row[0] in NAMES]
    assert len({len(row) for row in with_name}) == 1


def test_markdown_by_hand():
    assert escaped("a|b\nc_d _e_ <x> &amp; c & d") == r"a\|b c_d \_e\_ \<x\> \&amp; c & d"
    assert table(["n", "v"], [["a|b", "1"]]) == ["| n | v |", "|---|---:|", r"| a\|b | 1 |"]


def test_short_names_fit_and_keep_both_ends():
    assert shortened("short", 10) == "short"
    found = shortened(LONG.strip(), 26)
    assert len(found) <= 26 and found.startswith("pick up") and found.endswith("waits")
    wide = shortened("洗" * 40, 26)
    assert sum(2 if unicodedata.east_asian_width(c) == "W" else 1 for c in wide) <= 26
    assert "…" in wide


def test_csv_cells_are_texts(reports, tmp_path):
    events = [
        Event("=v.mp4", label, 0.5 * label, 0.5 * label + 1, 0.9, np.array([-3.0, 1, 2, 3]), (0,))
        for label in range(len(NAMES))
    ]
    counts = {"=v.mp4": count_over_time(events, len(NAMES), 60, 10)}
    write_events(tmp_path / "events.csv", events, NAMES)
    write_counts(tmp_path / "counts.csv", counts, NAMES)
    paths = [tmp_path / "events.csv", tmp_path / "counts.csv"]
    for path in [*paths, reports / "classifier" / "predictions.csv"]:
        with open(path, newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert "'=1+1" in cells and not any(cell.startswith("=") for cell in cells)
    with open(paths[0], newline="") as stream:
        assert next(csv.DictReader(stream))["x1"] == "-3.0"


def test_a_plot_ends_with_the_video(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    ends = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *a, **k: (ends.append(figure), save(figure, *a, **k))
    )
    events = [Event("v", c, c, c + 1.5, 0.9, np.zeros(4), (0,)) for c in range(len(NAMES))]
    counts = count_over_time(events, len(NAMES), 60, 10)
    plot_events(tmp_path / "v.png", "$v$", events, counts, NAMES, seconds=10)
    lanes, bars = ends[0].axes
    assert bars.get_xlim() == lanes.get_xlim() == (0, 10)
    shown = [label.get_text() for label in lanes.get_yticklabels()]
    assert shown == [shortened(name, 40) for name in NAMES]
    assert not any(label.get_parse_math() for label in lanes.get_yticklabels())
