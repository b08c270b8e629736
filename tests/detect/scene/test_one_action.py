import numpy as np

from stadet.detect.clock import Clock
from stadet.detect.scene.one_action import decided
from stadet.detect.structures import Tube

OPPOSITE, ALTERNATIVE = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
OPPOSITE[[0, 1], [1, 0]] = True  # 2 is of another kind; 3 does what 0 does
ALTERNATIVE[[0, 3], [3, 0]] = True
HERE, NEAR, AWAY = [10, 10, 50, 50], [45, 45, 90, 90], [200, 10, 240, 50]


def tube(start, stop, label, score, box=HERE):
    return Tube(start, np.tile(np.array(box, dtype=float), (stop - start, 1)), label, score)


def decide(*tubes, pause=0.5):
    found = decided(tubes, OPPOSITE, ALTERNATIVE, Clock(10.0), pause)
    return [(t.start, t.stop, t.label) for t in found]


def test_the_higher_sum_of_scores_wins():
    assert decide(tube(0, 30, 0, 0.4), tube(5, 20, 1, 0.7)) == [(0, 30, 0)]  # 12 against 10.5
    assert decide(tube(0, 30, 0, 0.3), tube(5, 20, 1, 0.7)) == [(5, 20, 1)]
    assert decide(tube(0, 30, 0, 0.4), tube(5, 20, 1, 0.7, NEAR)) == [(0, 30, 0)]


def test_boxes_that_meet_on_fewer_than_half_of_the_frames_are_two_hands():
    leaving = Tube(5, np.array([HERE] * 7 + [AWAY] * 8, dtype=float), 1, 0.7)
    assert decide(tube(0, 30, 0, 0.4), leaving) == [(0, 30, 0), (5, 20, 1)]
    staying = Tube(5, np.array([HERE] * 8 + [AWAY] * 7, dtype=float), 1, 0.7)
    assert decide(tube(0, 30, 0, 0.4), staying) == [(0, 30, 0)]


def test_the_score_of_joined_parts_is_the_mean_over_their_frames():
    parts = [tube(0, 10, 0, 0.9), tube(12, 18, 1, 0.5), tube(20, 50, 0, 0.5)]
    (joined,) = decided(parts, OPPOSITE, ALTERNATIVE, Clock(10.0), 0.5)
    assert np.isclose(joined.score, (10 * 0.9 + 30 * 0.5) / 40)


def test_other_hands_and_other_classes_stay():
    apart = [tube(0, 30, 0, 0.4), tube(5, 20, 1, 0.7, AWAY)]
    assert decide(*apart) == [(0, 30, 0), (5, 20, 1)]
    both = [tube(0, 30, 0, 0.4), tube(5, 20, 0, 0.7), tube(5, 20, 2, 0.9)]
    assert decide(*both) == [(0, 30, 0), (5, 20, 0), (5, 20, 2)]


def test_the_same_with_another_tool():
    near = [15, 12, 52, 52]  # IoU 0.79
    assert decide(tube(0, 30, 0, 0.4), tube(5, 30, 3, 0.6, near)) == [(5, 30, 3)]
    assert decide(tube(0, 30, 0, 0.4), tube(5, 30, 3, 0.6, NEAR)) == [(0, 30, 0), (5, 30, 3)]
    assert decide(tube(0, 30, 0, 0.4), tube(28, 40, 3, 0.6)) == [(0, 30, 0), (28, 40, 3)]


def test_a_pause_joins_and_a_longer_one_does_not():
    # 2 s of taking with half a second of putting in between: one visit, whose parts are joined
    parts = [tube(0, 10, 0, 0.5), tube(12, 18, 1, 0.9), tube(20, 31, 0, 0.5)]
    assert decide(*parts) == [(0, 31, 0)]
    assert decide(*parts, pause=0.1) == [(0, 10, 0), (12, 18, 1), (20, 31, 0)]


def test_every_order_of_the_tubes_gives_the_same():
    rng = np.random.default_rng(0)
    for _ in range(30):
        tubes = [
            tube(a, a + n, label, 0.1 + 0.8 * s, [10 * x, 0, 10 * x + 15, 20])
            for a, n, label, s, x in zip(
                rng.integers(0, 80, 9),
                rng.integers(3, 20, 9),
                rng.integers(0, 4, 9),
                rng.random(9),
                rng.integers(0, 5, 9),
                strict=True,
            )
        ]
        shuffled = [tubes[n] for n in rng.permutation(9)]
        key = lambda rows: sorted(rows)  # noqa: E731
        assert key(decide(*tubes)) == key(decide(*shuffled))
        left = decide(*tubes)
        assert sum(label == 2 for *_, label in left) == sum(t.label == 2 for t in tubes)
