import math
from pathlib import Path

import pytest

from stadet.engine.errors import UserError
from tests.detect.scene.test_file import read

SCENE = """\
schema: stad-scene/1
cameras:
  counter:
    zones:
      tuna: [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]
      tray: [[0.6, 0.5], [0.9, 0.5], [0.9, 0.9]]
  till:
    zones: {till: [[0, 0], [1, 0], [1, 1]]}
counts:
  min_score: 0.4
  join_seconds: 1
  anchor: top
  one_action: true
  meals:
    items:
      rice: {classes: put rice, zone: tray}
      topping: [put with hands, put with tongs]
    back: {classes: [take back], zone: tray}
    checkout: {classes: [till], zone: till}
    pause: 90
    bin_seconds: 20
  stock:
    take: [pick]
    put: [return]
    bins:
      tuna: {initial: 20}
      rice: {zone: null, initial: 5, take: [scoop]}
  use:
    tongs: [put with tongs]
  shifts:
    lunch: ["11:00", "15:00"]
    night: ["22:30", "02:00"]
"""


def test_everything_is_read(tmp_path):
    scene = read(tmp_path, SCENE)
    counts = scene.counts
    assert (counts.events.min_score, counts.events.min_seconds) == (0.4, 0.2)
    assert (counts.events.join_seconds, counts.anchor, counts.one_action) == (1, "top", True)
    assert counts.cameras == ("counter", "till")
    meals = counts.meals
    assert meals.items["rice"].classes == ("put rice",) and meals.items["rice"].zone == "tray"
    assert meals.items["topping"].classes == ("put with hands", "put with tongs")
    assert (meals.back.zone, meals.checkout.zone) == ("tray", "till")
    assert (meals.pause, meals.bin_seconds) == (90, 20)
    tuna, rice = counts.bins
    assert (tuna.zone, tuna.initial, tuna.take, tuna.put) == ("tuna", 20, ("pick",), ("return",))
    assert (rice.zone, rice.initial, rice.take, rice.put) == (None, 5, ("scoop",), ("return",))
    assert counts.shifts == {"lunch": (39600, 54000), "night": (81000, 7200)}
    kinds = [(role.kind, role.name) for role in counts.roles.values()]
    assert kinds == [
        ("item", "rice"),
        ("item", "topping"),
        ("back", ""),
        ("checkout", ""),
        ("take", "tuna"),
        ("put", "tuna"),
        ("take", "rice"),
        ("put", "rice"),
        ("use", "tongs"),
    ]
    assert ("pick", "return") in counts.opposites and ("return", "scoop") in counts.opposites
    assert not {("pick", "scoop"), ("put rice", "till")} & counts.opposites
    assert ("put rice", "put with tongs") in counts.alternatives
    assert not {("pick", "pick"), ("pick", "scoop")} & counts.alternatives
    with pytest.raises(UserError, match=r"counts: expected .* found 'till' \(did you mean tills"):
        scene.check_classes(
            ("put rice", "put with hands", "put with tongs", "take back", "tills", "pick")
        )
    without = read(tmp_path, SCENE.replace("    pause: 90\n", ""))
    assert math.isinf(without.counts.meals.pause)
    assert read(tmp_path, SCENE.partition("counts:")[0]).counts is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("meals:", "meels:", "unknown key 'meels' .did you mean meals"),
        ("zone: tray}\n      topping", "zone: tra}\n      topping", "zone 'tra' is unknown"),
        ("      tuna: {initial: 20}", "      salmon: {initial: 20}", "zone of its name"),
        ("initial: 20", "initial: -1", "initial: expected"),
        ("put: [return]", "put: [return, pick]", "'pick' both takes and puts"),
        ('["11:00", "15:00"]', "[11:00, 15:00]", "two times in quotes"),
        ('["11:00", "15:00"]', '["11:00", "23:00"]', "'lunch' and 'night' overlap"),
        ('["11:00", "15:00"]', '["01:00", "03:00"]', "'lunch' and 'night' overlap"),
        ('["11:00", "15:00"]', '["11:00", "11:00"]', "two times of a day"),
        ('["11:00", "15:00"]', '["11:00", "25:00"]', "two times of a day"),
        ('["11:00", "15:00"]', '["11:61", "15:00"]', "expected h:mm"),
        ("pause: 90", "pause: 0", "pause: expected more than 0"),
        ("min_score: 0.4", "min_score: 4", "min_score: expected"),
        ("min_score: 0.4", "cameras: [counters]", "camera 'counters' is unknown"),
        ("min_score: 0.4", "cameras: [counter]", "zone 'till' is unknown"),
    ],
)
def test_mistakes_are_told(tmp_path, old, new, words):
    assert old in SCENE
    with pytest.raises(UserError, match=words):
        read(tmp_path, SCENE.replace(old, new))


def test_the_example_of_the_docs(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "counts.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    square = "[[0, 0], [1, 0], [1, 1]]"
    zones = ", ".join(f"{name}: {square}" for name in ("tuna", "rice", "tray", "till"))
    head = f"schema: stad-scene/1\ncameras: {{counter: {{zones: {{{zones}}}}}}}\n"
    counts = read(tmp_path, head + example).counts
    assert [box.name for box in counts.bins] == ["tuna", "rice"]
    assert list(counts.shifts) == ["lunch", "evening"] and len(counts.meals.items) == 2


def test_a_section_without_anything_to_count(tmp_path):
    head = SCENE.partition("counts:")[0]
    for section, words in (
        ("counts: {min_score: 0.5}\n", "expected meals, stock or use, found none"),
        ("counts: {meals: {items: {a: [b]}}}\n", "expected checkout or pause"),
        ("counts: {meals: {pause: 9}}\n", "expected what serves an item"),
        ("counts: {stock: {bins: {}}}\n", "expected at least one bin"),
        ("counts: {stock: {bins: {tuna: {initial: 3}}}}\n", "expected classes that take or put"),
        ("counts: []\n", "expected key: value lines"),
    ):
        with pytest.raises(UserError, match=words):
            read(tmp_path, head + section)
