"""The reversed pairs: equal pictures in opposite order, and nothing else that tells them apart."""

import cv2
import numpy as np
import pytest

from stadet.datasets.restaurant import FootageConfig, Scene, generate
from stadet.datasets.restaurant.annotator import tracks_of
from stadet.datasets.restaurant.classes import CATALOGUE, ClassSet
from stadet.datasets.restaurant.motion import perform
from stadet.datasets.restaurant.script import Appearance, Script

STEADY = FootageConfig(
    size=(96, 160), minutes=0.2, scenes=1, noise=0, drift=0, variety=0, still_share=1, classes=40
)


def filmed(action, seed, config=STEADY):
    """A scene that shows one performance of `action` from its first frame to its last."""
    layout = Scene(config).layout
    performance = perform(np.random.default_rng(seed), action, layout, config)
    seen = np.ones(len(performance), dtype=bool)
    return Scene(config, script=Script((Appearance(0, 0, performance),), seen))


REVERSIBLE = [action for action in CATALOGUE if action.reverse and action.forward]


@pytest.mark.parametrize("span", ["carry", "whole"])
@pytest.mark.parametrize("action", REVERSIBLE[:2], ids=lambda action: action.name)
def test_pictures_and_annotations_of_a_pair_are_each_others_reversal(action, span):
    config = FootageConfig(**{**vars(STEADY), "span": span})
    opposite = next(other for other in CATALOGUE if other.name == action.reverse)
    forward, backward = filmed(action, 3, config), filmed(opposite, 3, config)
    length = len(forward)
    assert len(backward) == length
    for index in range(length):
        for view in config.view_names:
            np.testing.assert_array_equal(
                forward.frame(view, index), backward.frame(view, length - 1 - index)
            )
    for view in config.view_names:
        (one,), (other,) = tracks_of(forward, view), tracks_of(backward, view)
        assert (one.label, other.label) == (action.name, opposite.name)
        np.testing.assert_array_equal(one.frames, length - 1 - other.frames[::-1])
        np.testing.assert_array_equal(one.boxes, other.boxes[::-1])
        assert one.still == (length - 1 - other.still[1], length - 1 - other.still[0])


@pytest.mark.parametrize("action", REVERSIBLE, ids=lambda action: action.name)
def test_every_pair_of_the_catalogue_is_a_reversal(action):
    opposite = next(other for other in CATALOGUE if other.name == action.reverse)
    layout = Scene(STEADY).layout
    for seed in range(5):
        forward = perform(np.random.default_rng(seed), action, layout, STEADY)
        backward = perform(np.random.default_rng(seed), opposite, layout, STEADY)
        np.testing.assert_array_equal(forward.tip, backward.tip[::-1])
        np.testing.assert_array_equal(forward.shoulder, backward.shoulder[::-1])
        assert forward.looks == backward.looks[::-1]


def test_a_carrying_hand_stands_still_within_motion():
    action = REVERSIBLE[0]
    for seed in range(20):
        scene = filmed(action, seed)
        (track,) = tracks_of(scene, "front")
        first, last = track.still
        assert 8 <= last - first + 1 <= 16
        assert track.frames[0] < first and last < track.frames[-1]
        boxes = track.boxes[np.isin(track.frames, np.arange(first, last + 1))]
        np.testing.assert_array_equal(boxes, np.tile(boxes[:1], (len(boxes), 1)))
        moved = np.abs(np.diff(track.boxes[:, 1]))
        at = np.flatnonzero(track.frames == first)[0]
        # 2 pixels of a network with 64 rows, before the stop and after it
        least = 2 * 96 / 64
        assert moved[at - 1] > 0.6 * least and moved[at + last - first] > 0.6 * least


def test_without_stops_nothing_is_motionless():
    config = FootageConfig(**{**vars(STEADY), "still_share": 0.0, "minutes": 0.5})
    for scene in generate(config):
        assert all(track.still is None for track in tracks_of(scene, "front"))


def _samples(minutes, seed):
    """Single frames, frame differences, direction and action number of annotated frames."""
    config = FootageConfig(
        size=(64, 112),
        minutes=minutes,
        scenes=1,
        classes=2,
        views=1,
        variety=0,
        seed=seed,
        action_share=0.7,
        still_share=0,
        distraction=0.1,
        together=0,
        unseen_share=0,
        hand_scale=2.2,
    )
    scene = next(generate(config))
    singles, differences, directions, actions = [], [], [], []
    names = scene.classes.names
    for track in tracks_of(scene, "front"):
        for index in track.frames[1:]:
            now, before = (
                cv2.resize(scene.frame("front", i), (28, 16), interpolation=cv2.INTER_AREA)
                .astype(np.float32)
                .mean(axis=2)
                .ravel()
                / 255
                for i in (index, index - 1)
            )
            singles.append(now)
            differences.append(now - before)
            directions.append(names.index(track.label))
            actions.append(track.track_id)
    return tuple(map(np.array, (singles, differences, directions, actions)))


def test_one_frame_does_not_tell_the_direction_but_two_do():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    singles, differences, directions, actions = _samples(4, seed=5)
    train = actions < np.median(actions)
    assert 0.4 < directions[train].mean() < 0.6 and 0.4 < directions[~train].mean() < 0.6

    def accuracy(features):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        model.fit(features[train], directions[train])
        answers = model.predict(features[~train])
        truth = directions[~train]
        return np.mean([(answers[truth == side] == side).mean() for side in (0, 1)])

    assert 0.38 < accuracy(singles) < 0.62
    assert accuracy(differences) > 0.85


def test_both_directions_are_equally_frequent():
    weights = ClassSet.most_frequent(40)
    by_name = dict(zip(weights.names, weights.weights, strict=True))
    for one, other in weights.reverses.items():
        assert by_name[one] == by_name[other]
