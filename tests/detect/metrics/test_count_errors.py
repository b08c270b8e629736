import numpy as np
import pytest

from stadet.detect.metrics.count_errors import count_errors
from tests.detect.scene.test_counting import FPS, SCENE, count, tube

MEALS = """\
schema: stad-scene/1
cameras: {counter: {videos: ["*"]}}
counts: {meals: {items: {item: [serve], back: [pick]}, checkout: [till]}}
"""


def test_stock_and_use_equal_a_loop_over_frames(tmp_path):
    rng = np.random.default_rng(3)
    tubes, at = [], 3
    while at < 570:
        kind, place = str(rng.choice(["pick", "return"])), str(rng.choice(["tuna", "rice"]))
        tubes.append(tube(kind, at, 8, [place]))
        at += int(rng.integers(16, 30))
    found = [t for t in tubes if rng.random() > 0.3] + [tube("till", 20, 30, ["away"])]
    watched = np.ones(600, dtype=bool)
    watched[200:260] = False
    truth = count(tmp_path, tubes, frames=600, watched=watched)
    counts = count(tmp_path, found, frames=600, watched=watched)
    errors = count_errors(counts, truth)
    for own, right in zip(counts.stock, truth.stock, strict=True):
        off = []
        for frame in np.flatnonzero(watched):
            level = [
                s.initial + sum(m.change for m in s.moves if m.seconds <= frame / FPS)
                for s in (own, right)
            ]
            off.append(abs(level[0] - level[1]))
        row = errors.stock["v", own.bin]
        assert row.mean_absolute == pytest.approx(np.mean(off))
        assert row.right == pytest.approx(np.mean(np.equal(off, 0)))
        assert 0 < row.right < 1
        assert row.final == (right.final, own.final)
    assert errors.stock_error == pytest.approx(
        np.mean([row.mean_absolute for row in errors.stock.values()])
    )
    assert errors.use["till"].seconds == pytest.approx((0.0, 3.0))
    assert np.isnan(errors.use["till"].relative)
    lost = truth.total("seconds", "hands") - counts.total("seconds", "hands")
    relative = lost / truth.total("seconds", "hands")
    assert errors.use["hands"].relative == pytest.approx(relative)


def test_meals(tmp_path):
    def meals(*sizes, names=("serve",), tills=True):
        """Meals of so many items, one item a second, each meal with 2 s of till."""
        tubes, at = [], 0
        for size in sizes:
            for number in range(size):
                tubes.append(tube(names[number % len(names)], at, 4, ["away"]))
                at += 10
            if tills:
                tubes.append(tube("till", at, 20, ["away"]))
            at += 40
        return count(tmp_path, tubes, MEALS)

    truth = meals(3, 2, 4)
    same = count_errors(meals(3, 2, 4), truth).meals
    assert (same.exact, same.exact_content, same.items, same.matched) == (1, 1, 0, 3)
    fewer = count_errors(meals(3, 1, 4), truth)
    assert fewer.meals.exact == pytest.approx(2 / 3)
    assert fewer.meals.total_items == (9, 8)
    other = count_errors(meals(3, 2, 4, names=("serve", "pick")), truth).meals
    assert (other.exact, other.exact_content) == (1, 0)
    merged = count_errors(meals(3, 2, 4, tills=False), truth).meals
    assert (merged.truths, merged.found, merged.matched, merged.exact) == (3, 1, 1, 0)
    assert merged.items == pytest.approx((3 + 2 + 5) / 3)
    none = count_errors(count(tmp_path, [tube("other", 0, 5, ["away"])], MEALS), truth).meals
    assert (none.found, none.exact, none.items) == (0, 0, 3)
    nothing = count_errors(truth, count(tmp_path, [tube("other", 0, 5, ["away"])], MEALS)).meals
    assert np.isnan(nothing.exact) and nothing.found == 3


def test_of_two_meals_that_overlap_one_of_the_truth_the_better_one_is_it(tmp_path):
    def meals(served, tills):
        tubes = [tube("serve", at, 4, ["away"]) for at in served]
        return count(tmp_path, tubes + [tube("till", at, 5, ["away"]) for at in tills], MEALS)

    truth = meals([0, 50], [100])  # 10 s
    found = meals([0, 40, 60], [30, 100])  # 3 s with one item, 6 s with two
    errors = count_errors(found, truth).meals
    assert (errors.matched, errors.exact, errors.found) == (1, 1, 2)
    early = meals([0], [11])  # 1.1 s of 10 s: the same; 0.9 s are not
    assert count_errors(early, truth).meals.matched == 1
    assert count_errors(meals([0], [9]), truth).meals.matched == 0


def test_counts_equal_themselves(tmp_path):
    counts = count(tmp_path, [tube("pick", 0, 10, ["tuna"]), tube("serve", 20, 9, ["tray"])], SCENE)
    errors = count_errors(counts, counts)
    assert errors.stock_error == 0 and errors.stock_right == 1
    assert errors.meals.exact_content == 1
    assert errors.use["hands"].relative == 0
