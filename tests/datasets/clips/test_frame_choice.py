from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.clips.frame_choice import FrameChoice, repeat_factors, systematic_draw
from stadet.engine.errors import UserError
from tests.datasets.small_truth import annotation_set, random_set, video

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.sampled_from([None, 0, 0.5, 1, 3]), st.sampled_from([0, 0.3, 0.5, 1]))
def test_an_epoch_has_the_promised_number_and_every_positive(seed, negatives, balance):
    data = random_set(seed)
    choice = FrameChoice(data, negatives=negatives, balance=balance)
    positive = {(v.name, f) for v in data for f in v.frames.tolist()}
    for epoch in range(3):
        drawn = Counter(choice.draw(np.random.default_rng([seed, epoch])))
        assert drawn.total() == len(choice)
        assert positive <= set(drawn)
        without = set(drawn) - positive
        assert all(drawn[frame] == 1 for frame in without)
        assert all(data.videos[v].looked_at[f] for v, f in drawn)
        if balance == 0:
            assert all(count == 1 for count in drawn.values())


def test_negatives_follow_the_ratio_and_change_between_epochs():
    data = annotation_set(video("a", [1] * 100, {f: 0 for f in range(10)}))
    for ratio, expected in ((None, 90), (0, 0), (0.5, 5), (2, 20), (50, 90)):
        assert len(FrameChoice(data, negatives=ratio)) == 10 + expected
    choice = FrameChoice(data, negatives=1)
    drawn = [{f for _, f in choice.draw(np.random.default_rng(e)) if f >= 10} for e in range(30)]
    assert all(len(frames) == 10 for frames in drawn)
    assert len(set.union(*drawn)) > 80


def test_balanced_classes_come_equally_often():
    classes = {f: 0 for f in range(60)} | {f: 1 for f in range(60, 90)} | {90: 2, 91: 2, 92: 2}
    data = annotation_set(video("a", [1] * 100, classes))
    choice = FrameChoice(data, negatives=0, balance=1)
    counts = Counter(classes[f] for _, f in choice.draw(np.random.default_rng(0)))
    assert counts == {0: 60, 1: 60, 2: 60}
    half = FrameChoice(data, negatives=0, balance=0.5)
    counts = Counter(classes[f] for _, f in half.draw(np.random.default_rng(0)))
    assert counts[0] == 60 and counts[1] == pytest.approx(30 * 2**0.5, abs=2)
    assert counts[2] == pytest.approx(3 * 20**0.5, abs=2)


def test_repeat_factors_take_the_rarest_class_of_a_frame_and_have_a_limit():
    labels = np.array([[1, 0]] * 100 + [[1, 1]], dtype=bool)
    factors = repeat_factors(labels, 1.0, most=20)
    assert factors[:100].tolist() == [1.0] * 100 and factors[100] == 20
    unlabelled = repeat_factors(np.zeros((3, 2), dtype=bool), 1.0, most=20)
    assert unlabelled.tolist() == [1.0] * 3


@given(SEEDS, st.integers(1, 60))
def test_systematic_draw_takes_each_row_at_most_once(seed, count):
    rng = np.random.default_rng(seed)
    chances = rng.random(count) * (rng.random(count) < 0.7)
    total = int(chances.sum())
    drawn = systematic_draw(chances, total, rng)
    assert drawn.sum() == total and drawn.max(initial=0) <= 1
    assert not drawn[chances == 0].any()


def test_no_boxes_at_all_is_refused():
    data = annotation_set(video("a", [1, 1, 0], {}))
    with pytest.raises(UserError, match="none among 2 looked-at frames of 1 videos"):
        FrameChoice(data)
    with pytest.raises(UserError, match="none among 0"):
        FrameChoice(annotation_set())
