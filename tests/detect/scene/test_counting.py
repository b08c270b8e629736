"""Counts of tubes against a plain reading of the script that they were made from."""

from dataclasses import replace

import numpy as np
import pytest

from stadet.detect.scene.counted import SceneCounts, in_order
from stadet.detect.scene.counting import count_video
from stadet.detect.structures import Tube
from stadet.detect.tubes.tube_set import VideoTubes
from stadet.engine.errors import UserError
from tests.detect.scene.test_file import read

NAMES = ("pick", "return", "serve", "take back", "till", "other")
FPS, SIZE = 10.0, (100, 200)
SCENE = """\
schema: stad-scene/1
cameras:
  counter:
    videos: ["*"]
    zones:
      tuna: [[0, 0], [0.25, 0], [0.25, 1], [0, 1]]
      rice: [[0.25, 0], [0.5, 0], [0.5, 1], [0.25, 1]]
      tray: [[0.5, 0], [0.75, 0], [0.75, 1], [0.5, 1]]
counts:
  meals:
    items: {item: {classes: [serve], zone: tray}}
    back: {classes: [take back], zone: tray}
    checkout: [till]
    pause: 30
    bin_seconds: 5
  stock:
    take: [pick]
    put: [return]
    bins: {tuna: {initial: 9}, rice: {initial: 4}}
  use: {hands: [pick, return, serve], till: [till]}
"""
PLACES = {"tuna": 25.0, "rice": 75.0, "tray": 125.0, "away": 175.0}


def tube(label, start, frames, places, score=0.8):
    """A box whose centre is at these places, one after the other, for equally many frames."""
    x = np.array([PLACES[p] for p in places])[np.arange(frames) * len(places) // frames]
    boxes = np.stack([x - 10, np.full(frames, 40.0), x + 10, np.full(frames, 60.0)], axis=1)
    return Tube(start, boxes, NAMES.index(label), score)


def count(folder, tubes, scene=SCENE, frames=None, **more):
    scene = read(folder, scene)
    length = frames or max(t.stop for t in tubes) + 1
    video = VideoTubes("v", tubes, FPS, length)
    counts = count_video(scene, scene.cameras["counter"], video, NAMES, SIZE, **more)
    return SceneCounts(scene, [counts])


def test_a_short_service(tmp_path):
    counts = count(
        tmp_path,
        [
            tube("pick", 0, 10, ["tuna"]),
            tube("serve", 20, 10, ["away", "tray"]),  # tuna
            tube("pick", 40, 10, ["rice"]),
            tube("return", 60, 10, ["rice"]),
            tube("serve", 80, 10, ["tray"]),  # from no bin: its own name
            tube("take back", 100, 10, ["tray"]),
            tube("serve", 110, 10, ["away"]),  # not at the tray
            tube("till", 130, 10, ["away"]),
            tube("till", 150, 10, ["away"]),  # no meal
            tube("take back", 170, 10, ["tray"]),  # no meal
            tube("pick", 190, 10, ["rice"]),
            tube("serve", 260, 10, ["tray"]),  # 7 s after the end of the pick
            tube("pick", 280, 10, ["tuna"], score=0.2),  # too weak
            tube("serve", 600, 10, ["tray"]),  # 33 s later: another meal
        ],
    )
    (video,) = counts.videos
    rows = [(m.start, m.stop, m.closed_by, dict(m.content), m.taken_back) for m in video.meals]
    assert rows == [
        (2.5, 13.0, "checkout", {"tuna": 1}, 1),
        (26.0, 27.0, "pause", {"item": 1}, 0),
        (60.0, 61.0, "end", {"item": 1}, 0),
    ]
    assert video.meals[0].served == ["tuna", "item"]
    assert (video.loose_backs, video.empty_checkouts) == (1, 1)
    tuna, rice = counts.stock
    assert (tuna.levels(), rice.levels()) == ([9, 8], [4, 3, 4, 3])
    assert [move.seconds for move in rice.moves] == [5.0, 7.0, 20.0]
    assert tuna.at(np.array([0.9, 1.0, 50])).tolist() == [9, 8, 8]
    assert counts.total("uses", "hands") == 9 and counts.total("uses", "till") == 2
    assert counts.total("seconds", "hands") == pytest.approx(9.0)


def test_what_passes_several_bins_counts_for_the_longest_stay(tmp_path):
    counts = count(
        tmp_path,
        [
            tube("pick", 0, 12, ["rice", "rice", "tuna", "away"]),
            tube("pick", 30, 16, ["tuna", "rice", "rice", "rice", "tuna", "away"]),
        ],
    )
    assert [(m.bin, m.change) for m in counts.videos[0].moves] == [("rice", -1), ("rice", -1)]


def test_parts_of_one_action_are_joined(tmp_path):
    parts = [tube("pick", 0, 10, ["tuna"]), tube("pick", 14, 10, ["tuna"])]
    assert count(tmp_path, parts).stock[0].final == 8
    apart = SCENE.replace("counts:\n", "counts:\n  join_seconds: 0.3\n")
    assert count(tmp_path, parts, apart).stock[0].final == 7


def test_of_two_bins_that_were_passed_twice_the_longer_time_in_all_counts(tmp_path):
    """0.8 s in two stays at tuna, 0.7 s in one at rice, with pauses longer than join_seconds."""
    places = [*["tuna"] * 4, *["away"] * 6, *["rice"] * 7, *["away"] * 6, *["tuna"] * 4]
    (move,) = count(tmp_path, [tube("pick", 0, len(places), places)]).videos[0].moves
    assert (move.bin, move.seconds) == ("tuna", 2.7)


def test_every_action_of_an_actor_counts(tmp_path):
    tubes = [tube("pick", 20 * n, 10, ["tuna"]) for n in range(3)]
    same = [replace(t, actor=7) for t in tubes]
    assert count(tmp_path, same).stock[0].levels() == [9, 8, 7, 6]
    assert count(tmp_path, same).videos[0].uses == count(tmp_path, tubes).videos[0].uses


def test_items_bear_the_name_of_the_bin_last_taken_from(tmp_path):
    tubes = [tube("pick", 0, 5, ["tuna"]), tube("pick", 10, 5, ["rice"])]
    served = [tube("serve", 20, 5, ["tray"]), tube("serve", 40, 5, ["tray"])]
    (meal,) = count(tmp_path, [*tubes, *served]).videos[0].meals
    assert meal.served == ["rice", "tuna"] and meal.content_text == "rice x1; tuna x1"


def test_at_one_moment_an_item_is_served_before_it_is_taken_back(tmp_path):
    tubes = [tube("serve", 0, 10, ["tray"]), tube("take back", 4, 6, ["tray"])]
    (video,) = count(tmp_path, tubes).videos
    assert [(m.items, m.taken_back) for m in video.meals] == [(0, 1)] and not video.loose_backs


def test_a_pause_ends_where_the_next_action_begins(tmp_path):
    """29.9 s without an item, then one that takes 1 s: the same meal."""
    tubes = [tube("serve", 0, 10, ["tray"]), tube("serve", 309, 10, ["tray"])]
    assert [meal.items for meal in count(tmp_path, tubes).videos[0].meals] == [2]


def test_sums_of_a_meal_belong_to_the_hour_in_which_it_ended(tmp_path):
    tubes = [tube("serve", 0, 10, ["tray"]), tube("till", 20, 10, ["away"])]
    counts = count(tmp_path, tubes, begins=3599.0)
    hours = {
        p.name: (s.get(("meals", "")), s.get(("items", ""))) for (_, p), s in counts.totals.items()
    }
    assert hours == {"0:00": (None, None), "1:00": (1, 1)}


def test_random_scripts_equal_their_plain_reading(tmp_path):
    rng = np.random.default_rng(1)
    for _ in range(20):
        at, tubes, stock = 5, [], {"tuna": 9, "rice": 4}
        meals, items, hand = [], None, 0
        for _ in range(40):
            what = str(rng.choice(["pick", "return", "serve", "take back", "till", "other"]))
            place = str(rng.choice(["tuna", "rice"])) if what in NAMES[:2] else "tray"
            frames = int(rng.integers(4, 12))
            tubes.append(tube(what, at, frames, [place]))
            hand += frames if what in NAMES[:3] else 0
            if what in ("pick", "return"):
                stock[place] += -1 if what == "pick" else 1
            elif what == "serve":
                items = (items or 0) + 1
            elif what == "take back" and items:
                items -= 1
            elif what == "till" and items is not None:
                meals.append(items)
                items = None
            at += frames + int(rng.integers(7, 15))
        if items is not None:
            meals.append(items)
        counts = count(tmp_path, tubes)
        assert [meal.items for meal in counts.videos[0].meals] == meals
        assert {s.bin: s.final for s in counts.stock} == stock
        assert counts.total("seconds", "hands") == pytest.approx(hand / FPS)


def test_frames_that_nobody_watched_take_no_part(tmp_path):
    watched = np.ones(100, dtype=bool)
    watched[40:] = False
    tubes = [tube("pick", 0, 10, ["tuna"]), tube("pick", 60, 10, ["tuna"])]
    counts = count(tmp_path, tubes, frames=100, watched=watched)
    assert counts.stock[0].levels() == [9, 8]
    assert counts.videos[0].watched == pytest.approx(4.0)


def test_stock_goes_on_from_video_to_video_where_the_time_is_known(tmp_path):
    scene = read(tmp_path, SCENE)
    camera = scene.cameras["counter"]

    def taken(name, number, begins):
        tubes = [tube("pick", 20 * n, 10, ["tuna"]) for n in range(number)]
        video = VideoTubes(name, tubes, FPS, 200)
        return count_video(scene, camera, video, NAMES, SIZE, begins=begins)

    later, sooner = taken("a", 2, 7200.0), taken("b", 3, 3600.0)
    counts = SceneCounts(scene, in_order([later, sooner], list(scene.cameras)))
    tuna = [(s.video.name, s.initial, s.final) for s in counts.stock if s.bin == "tuna"]
    assert tuna == [("b", 9, 6), ("a", 6, 4)]
    assert not any("initial stock" in note for note in counts.notes())
    hours = {p.name: sums["taken", "tuna"] for (_, p), sums in counts.totals.items()}
    assert hours == {"1:00": 3, "2:00": 2}
    alone = SceneCounts(scene, [taken("a", 2, None), taken("b", 10, None)])
    assert [s.initial for s in alone.stock if s.bin == "tuna"] == [9, 9]
    assert any("every video begins with the initial stock" in note for note in alone.notes())
    assert any("b: the stock of tuna falls to -1" in note for note in alone.notes())


def test_a_scene_without_counts_is_told(tmp_path):
    with pytest.raises(UserError, match="expected a section counts, found none"):
        count(tmp_path, [tube("pick", 0, 10, ["tuna"])], SCENE.partition("counts:")[0])
