import json
import re

import pytest

from stadet.detect.metrics.count_errors import count_errors
from stadet.detect.report import counts as counts_module
from stadet.detect.report.count_charts import clock_ticks, period_chart
from stadet.detect.report.counts import counts_dict, counts_page, total_lines
from stadet.detect.scene.counted import SceneCounts
from tests.detect.scene.test_counting import count, tube

TUBES = [
    tube("pick", 0, 10, ["tuna"]),
    tube("serve", 20, 10, ["tray"]),
    tube("pick", 40, 10, ["rice"]),
    tube("till", 60, 10, ["away"]),
    tube("serve", 90, 10, ["tray"]),
]


@pytest.fixture
def pair(tmp_path):
    """Counts that miss one action, and the truth's."""
    truth = count(tmp_path, TUBES, frames=110)
    found = count(tmp_path, [*TUBES[:2], *TUBES[3:]], frames=110)
    return found, truth


def test_the_page_holds_everything(pair):
    found, truth = pair
    page = counts_page(found, truth, count_errors(found, truth), notes=["look <here>"])
    assert "look &lt;here&gt;" in page
    addresses = re.findall(r"(?:https?:)?//[^\s\"'<]+", page)
    assert not addresses
    assert not re.search(r"<(script|link|img)\b", page)
    for heading in ("meals", "stock", "use"):
        assert f'<h2 id="{heading}">' in page
    assert page.count("<svg") == 1 + 1 + 2 + 1 + 1  # meals, by hour; two bins; use, by hour
    assert page.count('class="mark"') == 2  # the truth's stock
    assert "tuna x1" in page and "closed by" in page
    alone = counts_page(found)
    assert 'class="mark"' not in alone and "truth" not in alone.partition("</style>")[2]


def plain_text(page):
    """Words of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("</style>")[2]).split())


def test_tables_of_the_page(pair):
    found, truth = pair
    page = counts_page(found, truth, count_errors(found, truth))
    text = plain_text(page)
    assert "v 0:00:06.0 1 tuna x1 0 checkout v 0:00:10.0 1 item x1 0 end" in text
    assert "v tuna 9 1 0 8 8 0.00 100.0 v rice 4 0 0 4 3 0.55 45.5" in text
    assert "counter hour 1 0:00:11.0 2 (2) 2 (2)" in text
    assert "counter hour 1 tuna 1 (1) 0 (0) counter hour 1 rice 0 (1) 0 (0)" in text
    assert "hands 3 3.0 4 4.0 25.0 till 1 1.0 1 1.0 0.0" in text


def test_lines_and_json(pair):
    found, truth = pair
    errors = count_errors(found, truth)
    lines = list(total_lines(found, errors))
    assert "2 meals with 2 items (truth 2 with 2; 100.0 % of" in lines[0]
    assert any(line.startswith("v: rice: 4 - 0 + 0 = 4 (truth 3; mean error") for line in lines)
    content = json.loads(json.dumps(counts_dict(found, errors, ["a note"]), allow_nan=False))
    assert (content["schema"], content["meals"], content["items"]) == ("stad-counts/1", 2, 2)
    assert content["stock"][0] == {
        "video": "v",
        "bin": "tuna",
        "initial": 9,
        "taken": 1,
        "put_back": 0,
        "final": 8,
    }
    rice = content["errors"]["stock"]["bins"][1]
    assert rice["right"] == pytest.approx(50 / 110)  # wrong from frame 50 on
    assert content["notes"] == ["a note"]


def test_hours_of_two_days_are_two_bars(tmp_path):
    """A meal at 0:10 and two of them a day later, at 24:10, end in hours called 0:00."""
    tubes = [tube("serve", 0, 10, ["tray"]), tube("till", 20, 10, ["away"])]
    more = [tube("serve", 40, 10, ["tray"]), tube("till", 60, 10, ["away"])]
    days = [
        count(tmp_path, own, begins=hours * 3600.0 + 600)
        for own, hours in ((tubes, 0), ([*tubes, *more], 24))
    ]
    both = SceneCounts(days[0].scene, [day.videos[0] for day in days])
    series = [("meals", "", "meals")]
    svg = str(period_chart(both, None, "hour", series, "meals"))
    assert re.findall(r"meals, 0:00: (\d)<", svg) == ["1", "2"]


def test_bars_have_the_truth_as_dots(pair):
    """3 uses found, 4 in the truth: both charts reach to 4, so that the dot of 4 is higher."""
    found, truth = pair
    heights = []
    for counts, other in ((found, truth), (truth, found)):
        svg = str(period_chart(counts, other, "hour", [("uses", "hands", "hands")], "uses"))
        (dot,) = re.findall(r'<circle[^>]* cy="([\d.]+)"', svg)
        heights.append(float(dot))
    assert heights[0] < heights[1]


def test_long_tables_tell_what_they_leave_out(pair, monkeypatch):
    found, _ = pair
    monkeypatch.setattr(counts_module, "MEALS", 1)
    page = counts_page(found)
    assert "meal by meal (the first 1 of 2; meals.csv holds all)" in page
    text = plain_text(page)
    assert "tuna x1 0 checkout" in text and "item x1 0 end" not in text


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 40, ["0:00", "0:10", "0:20", "0:30", "0:40"]),
        (41400, 41420, ["11:30:00", "11:30:05", "11:30:10", "11:30:15", "11:30:20"]),
        (39600, 54000, ["11:00", "12:00", "13:00", "14:00", "15:00"]),
        (82800, 90000, ["23:00", "23:30", "0:00", "0:30", "1:00"]),
    ],
)
def test_ticks_of_time(low, high, wanted):
    assert [words for _, words in clock_ticks(low, high)] == wanted
