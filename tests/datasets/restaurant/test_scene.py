"""Scenes: determinism, annotations against pictures, shares, faults, configuration."""

import dataclasses

import numpy as np
import pytest

from stadet.datasets.restaurant import FootageConfig, Scene, generate
from stadet.datasets.restaurant.annotator import tracks_of
from stadet.datasets.restaurant.arm import POSES, outline_of, reach_of
from stadet.datasets.restaurant.classes import CATALOGUE, ClassSet, Look
from stadet.datasets.restaurant.facts import describe, ranges, scene_facts
from stadet.datasets.restaurant.motion import perform
from stadet.datasets.restaurant.script import Appearance, Script
from stadet.engine.errors import UserError

SMALL = FootageConfig(size=(96, 160), minutes=1.0, scenes=2)


def test_same_seed_same_pictures_and_annotations():
    for one, other in zip(generate(SMALL), generate(SMALL), strict=True):
        for view in SMALL.view_names:
            np.testing.assert_array_equal(one.frame(view, 100), other.frame(view, 100))
            a, b = one.annotations(view), other.annotations(view)
            np.testing.assert_array_equal(a.boxes, b.boxes)
            np.testing.assert_array_equal(a.looked_at, b.looked_at)


def test_another_seed_and_another_scene_differ():
    first, second = generate(SMALL)
    other = Scene(dataclasses.replace(SMALL, seed=1), 0)
    assert (first.frame("front", 0) != second.frame("front", 0)).any()
    assert (first.frame("front", 0) != other.frame("front", 0)).any()


def test_frames_one_by_one_equal_all_views_at_once_and_any_start():
    scene = Scene(SMALL)
    for index, pictures in zip(range(4), scene.frames_of_views(), strict=False):
        for view, picture in pictures.items():
            assert picture.shape == (96, 160, 3) and picture.dtype == np.uint8
            np.testing.assert_array_equal(picture, scene.frame(view, index))
    np.testing.assert_array_equal(next(scene.frames("side", 7)), scene.frame("side", 7))
    with pytest.raises(IndexError):
        scene.frame("front", len(scene))


def test_boxes_hold_what_differs_from_the_counter():
    """The hand's pixels, found by comparing with the empty counter, and the box agree."""
    config = FootageConfig(
        size=(144, 256), noise=0, drift=0, minutes=1, scenes=1, still_share=0, variety=0
    )
    scene = Scene(config)
    empty = Scene(config, script=Script((), np.ones(len(scene), dtype=bool)))
    for action in CATALOGUE[:8]:
        performance = perform(np.random.default_rng(1), action, scene.layout, config)
        seen = np.ones(len(performance), dtype=bool)
        acted = Scene(config, script=Script((Appearance(0, 0, performance),), seen))
        (track,) = tracks_of(acted, "front")
        middle = len(track.frames) // 2
        index, box = track.frames[middle], track.boxes[middle]
        before = empty.frame("front", index).astype(int)
        changed = np.abs(acted.frame("front", index).astype(int) - before).max(axis=2) > 60
        rows = np.flatnonzero(changed.any(axis=1))
        assert abs(rows.min() - box[1]) < 4, action.name  # the arm leaves at the bottom only
        inside = changed[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])]
        assert inside.mean() > 0.3, action.name
        assert (box[[2, 3]] - box[[0, 1]] > 10).all()


def facts_of(config, scenes):
    return describe(config, {k: v for scene in scenes for k, v in scene_facts(scene).items()})


def test_about_half_of_the_frames_have_no_action():
    config = FootageConfig(size=(96, 160), minutes=8, scenes=2)
    facts = facts_of(config, generate(config))
    shares = [video["share_without_action"] for video in facts["videos"].values()]
    assert 0.42 < np.mean(shares) < 0.58


def test_all_eight_classes_occur_alike_often():
    config = FootageConfig(size=(96, 160), minutes=20, scenes=2, views=1, together=0.2)
    counts = np.zeros(8)
    for scene in generate(config):
        names = scene.classes.names
        for track in tracks_of(scene, "front"):
            counts[names.index(track.label)] += 1
    assert counts.min() > 0.4 * counts.mean() and counts.max() < 1.8 * counts.mean()


def test_facts_agree_with_annotations():
    config = FootageConfig(size=(96, 160), minutes=3, scenes=2, unseen_share=0.1)
    scenes = list(generate(config))
    facts = facts_of(config, scenes)
    assert facts["reversed_pairs"] == [
        ["pick up from bin with tongs", "put back in bin with tongs"],
        ["put item into meal using hands", "take item from meal using hands"],
    ]
    assert len(facts["told_by_one_frame"]) == 4
    stops = 0
    for scene in scenes:
        for view in config.view_names:
            truth = scene.annotations(view)
            video = facts["videos"][truth.name]
            mask = np.zeros(video["frames"], dtype=bool)
            for first, last in video["looked_at"]:
                mask[first : last + 1] = True
            np.testing.assert_array_equal(mask, truth.looked_at)
            assert not mask.all()
            for stop in video["motionless"]:
                stops += 1
                rows = np.abs(truth.boxes - stop["box"]).max(axis=1) < 0.001
                rows &= (truth.frames >= stop["first"]) & (truth.frames <= stop["last"])
                assert rows.sum() == stop["last"] - stop["first"] + 1
                assert 8 <= rows.sum() <= 16
                assert np.ptp(truth.boxes[rows], axis=0).max() == 0
                assert truth.labels[rows][:, facts["classes"].index(stop["label"])].all()
    assert stops > 10


def test_imperfect_annotations_are_near_the_truth_but_not_equal():
    config = FootageConfig(size=(96, 160), minutes=6, scenes=1, views=1, wrong_labels=0.2)
    scene = Scene(config)
    clean, faulty = scene.annotations("front"), scene.annotations("front", imperfect=True)
    other = scene.annotations("front", imperfect=True)
    np.testing.assert_array_equal(faulty.boxes, other.boxes)  # the same faults each time
    np.testing.assert_array_equal(clean.looked_at, faulty.looked_at)
    label = {t: clean.labels[clean.track_ids == t][0].argmax() for t in set(clean.track_ids)}
    wrong = [
        faulty.labels[faulty.track_ids == t][0].argmax() != label[t] for t in set(faulty.track_ids)
    ]
    assert 0.05 < np.mean(wrong) < 0.4
    starts = [
        faulty.frames[faulty.track_ids == t].min() - clean.frames[clean.track_ids == t].min()
        for t in set(clean.track_ids) & set(faulty.track_ids)
    ]
    assert np.std(starts) > 0.5 and abs(np.mean(starts)) < 2
    assert (faulty.boxes[:, :2] >= 0).all() and (faulty.boxes[:, 2] <= 160).all()


@pytest.mark.parametrize("size", [(64, 64), (64, 112), (128, 224), (100, 250)])
@pytest.mark.parametrize("hand_scale", [0.5, 2.6])
@pytest.mark.parametrize("classes", [1, 40])
def test_every_shape_of_picture_hand_and_class_set(size, hand_scale, classes):
    config = FootageConfig(
        size=size, hand_scale=hand_scale, classes=classes, minutes=0.3, scenes=1, fps=10
    )
    scene = Scene(config)
    truth = scene.annotations("side")
    assert scene.frame("side", len(scene) - 1).shape == (*size, 3)
    assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all()
    assert (truth.boxes >= 0).all() and (truth.boxes <= np.tile(size[::-1], 2)).all()


def test_every_action_can_be_performed_and_drawn():
    config = FootageConfig(size=(96, 160), classes=40, minutes=0.3, scenes=1)
    scene = Scene(config)
    for number, action in enumerate(CATALOGUE):
        performance = perform(np.random.default_rng(0), action, scene.layout, config)
        seen = np.ones(len(performance), dtype=bool)
        acted = Scene(config, script=Script((Appearance(0, 0, performance),), seen))
        (track,) = tracks_of(acted, "front")
        assert track.label == action.name
        seconds = len(track.frames) / config.fps
        assert 0.5 < seconds < 4.5, action.name
        if number % 4 == 0:
            acted.frame("front", int(track.frames[len(track.frames) // 2]))


def test_catalogue_is_long_and_its_couples_agree():
    names = [action.name for action in CATALOGUE]
    assert len(set(names)) == len(names) >= 30
    by_name = {action.name: action for action in CATALOGUE}
    for action in CATALOGUE:
        if action.reverse:
            assert by_name[action.reverse].reverse == action.name
            assert by_name[action.reverse].forward != action.forward
    many = ClassSet.most_frequent(40)
    assert many.weights[0] > 5 * many.weights[-1]  # a long tail
    assert many.weights.sum() == pytest.approx(1)
    assert many.flip_labels == {"pass plate to the right": "pass plate to the left"}
    alone = ClassSet.most_frequent(1)
    assert alone.reverses == {} and alone.told_by_one_frame == alone.names


def test_classes_by_name():
    names = ("operating POS", "put back in bin using hands", "pick up from bin using hands")
    config = FootageConfig(minutes=0.2, scenes=1, size=(64, 112), names=names, unseen_share=0.0)
    scene = Scene(config)
    assert scene.classes.names == names
    assert scene.classes.weights.tolist() == [1 / 3] * 3
    assert scene.classes.reverses == {names[1]: names[2]}
    acted = {a.performance.label for a in scene.script.appearances} - {None}
    assert acted and acted <= set(names)
    assert {s.kind for s in scene.layout.stations} >= {"bin", "pos"}
    with pytest.raises(UserError, match=r"'operating PO' .did you mean operating POS"):
        FootageConfig(names=("operating PO",))
    with pytest.raises(UserError, match="names: expected each class once"):
        FootageConfig(names=(names[0], names[0]))


def test_a_left_hand_mirrors_the_outline():
    for pose in POSES:
        look = Look(pose)
        right, left = outline_of(look, False), outline_of(look, True)
        np.testing.assert_allclose(left[:, 0].min(), -right[:, 0].max(), atol=0.03)
        assert reach_of(look) > 0


def test_ranges_of_a_mask():
    assert ranges(np.array([True, True, False, True])) == [[0, 1], [3, 3]]
    assert ranges(np.zeros(3, dtype=bool)) == []
    assert ranges(np.ones(2, dtype=bool)) == [[0, 1]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"classes": 41}, "classes: expected 1 to 40, found 41"),
        ({"size": (65, 128)}, "size: expected even sides"),
        ({"size": (64, 32)}, "size: expected a width"),
        ({"span": "half"}, "span: expected carry or whole"),
        ({"minutes": 0.0}, "minutes: expected at least one second"),
        ({"still_frames": (9, 8)}, "still_frames"),
        ({"views": 3}, "views: expected 1 or 2"),
        ({"noise": float("nan")}, "noise: expected"),
    ],
)
def test_impossible_configurations_say_what_is_wrong(values, words):
    with pytest.raises(UserError, match=words):
        FootageConfig(**values)
