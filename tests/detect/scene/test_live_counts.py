"""Counts of a stream, frame by frame, against those of the whole video."""

from dataclasses import astuple

import numpy as np
import pytest

from stadet.detect.scene.counting import count_video
from stadet.detect.scene.live_counts import LiveCounter, TubeBox
from stadet.detect.tubes.tube_set import VideoTubes
from tests.detect.scene.test_counting import FPS, NAMES, PLACES, SCENE, SIZE, tube
from tests.detect.scene.test_file import read

NOON = 12 * 3600.0


def script(seed, count=60):
    """Tubes one after the other, at once, and with pauses around `join_seconds`."""
    rng = np.random.default_rng(seed)
    tubes, at = [], 0
    for _ in range(count):
        at = max(0, at + int(rng.choice([-6, 1, 2, 4, 5, 6, 7, 9, 30])))
        places = list(rng.choice(list(PLACES), rng.integers(1, 3)))
        label = str(rng.choice(NAMES))
        tubes.append(tube(label, at, int(rng.integers(1, 15)), places, float(rng.uniform(0.2, 1))))
        at = tubes[-1].stop
    return tubes


def feed(counter, tubes, frames, fps=FPS):
    for frame in frames:
        boxes = [
            TubeBox(number, t.label, t.boxes[frame - t.start], t.score, t.actor)
            for number, t in enumerate(tubes)
            if t.start <= frame < t.stop
        ]
        counter.update(frame / fps, boxes, SIZE, NOON + frame / fps)


def rows(counts):
    meals = [(m.start, m.stop, m.closed_by, dict(m.content), m.taken_back) for m in counts.meals]
    moves = [astuple(move) for move in counts.moves]
    return meals, moves, [astuple(use) for use in counts.uses]


def same(one, other):
    for mine, theirs in zip(rows(one), rows(other), strict=True):
        assert len(mine) == len(theirs)
        for row, wanted in zip(mine, theirs, strict=True):
            for value, right in zip(row, wanted, strict=True):
                assert value == (pytest.approx(right) if isinstance(right, float) else right)
    assert (one.loose_backs, one.empty_checkouts) == (other.loose_backs, other.empty_checkouts)


@pytest.mark.parametrize("one_action", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_counts_of_the_whole_video(tmp_path, seed, one_action):
    text = SCENE.replace("counts:\n", f"counts:\n  one_action: {str(one_action).lower()}\n")
    scene = read(tmp_path, text)
    camera, tubes = scene.cameras["counter"], script(seed)
    length = max(t.stop for t in tubes) + 20
    counter = LiveCounter(scene, camera, "v", NAMES)
    feed(counter, tubes, range(length))
    whole = count_video(
        scene, camera, VideoTubes("v", tubes, FPS, length), NAMES, SIZE, begins=NOON
    )
    found = counter.counts()
    assert rows(whole)[0] and rows(whole)[1] and counter.quiet
    same(found, whole)
    assert found.begins == NOON
    assert found.watched == pytest.approx((length - 1) / FPS)


def test_an_action_counts_once_it_has_ended(tmp_path):
    scene = read(tmp_path, SCENE)
    tubes = [tube("pick", 0, 10, ["tuna"]), tube("pick", 12, 300, ["rice"])]
    counter = LiveCounter(scene, scene.cameras["counter"], "v", NAMES)
    assert counter.counts() is None
    feed(counter, tubes, range(14))
    assert counter.counts().moves == []  # the next tube may still continue it
    feed(counter, tubes, range(14, 40))
    assert [move.bin for move in counter.counts().moves] == ["tuna"]
    assert not counter.quiet
    counter.pause()
    assert [move.bin for move in counter.counts().moves] == ["tuna", "rice"]


def test_what_never_ends_is_counted_once_and_forgotten(tmp_path):
    """A false detection that stays all day: others beside it are counted as if it were not."""
    scene = read(tmp_path, SCENE)
    frames = 2000
    still = tube("till", 0, frames, ["away"])
    picks = [tube("pick", start, 10, ["tuna"]) for start in range(30, frames, 100)]
    counter = LiveCounter(scene, scene.cameras["counter"], "v", NAMES, longest=20.0)
    sizes = []
    for first in range(0, frames, 50):
        feed(counter, [still, *picks], range(first, first + 50))
        sizes.append(len(counter._times))
    assert max(sizes) <= 20 * FPS + 1 and max(sizes[20:]) <= 3 * FPS
    counter.pause()
    counts = counter.counts()
    assert len(counts.moves) == len(picks)
    assert [use.tool for use in counts.uses].count("till") == 1


def test_nobody_watched_over_a_gap(tmp_path):
    scene = read(tmp_path, SCENE)
    counter = LiveCounter(scene, scene.cameras["counter"], "v", NAMES)
    tubes = [tube("pick", 0, 2000, ["tuna"])]
    feed(counter, tubes, range(100))
    feed(counter, tubes, range(1000, 1100))
    assert counter.counts().watched == pytest.approx(2 * 9.9)
    assert len(counter.counts().moves) == 1  # what went on before the gap
    counter.new_day()
    assert counter.counts() is None
    feed(counter, [tube("pick", 2000, 10, ["tuna"])], range(2000, 2050))
    (move,) = counter.counts().moves
    assert move.seconds == pytest.approx(1.0) and counter.begins == NOON + 200
