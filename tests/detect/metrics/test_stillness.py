import numpy as np
import pytest

from stadet.datasets.restaurant import FootageConfig
from stadet.datasets.restaurant.facts import scene_facts
from stadet.datasets.restaurant.scene import Scene
from stadet.detect.metrics.stillness import motionless_spans
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations


def rows_of(lefts, frames=None, *, fps=10.0, track=1, label=0, num_frames=100):
    """One hand of 20 x 20 pixels at `lefts`, on `frames` (default: from 0 on)."""
    frames = np.arange(len(lefts)) if frames is None else np.asarray(frames)
    boxes = np.array([[x, 10.0, x + 20, 30] for x in lefts])
    labels = np.zeros((len(lefts), 2), bool)
    labels[:, label] = True
    looked_at = np.zeros(num_frames, bool)
    looked_at[frames] = True
    tracks = np.full(len(lefts), track)
    video = VideoAnnotations("v", (64, 400), fps, looked_at, frames, boxes, labels, tracks)
    return AnnotationSet(("take", "put"), {"v": video})


MOVING = [5.0 * n for n in range(8)]
AT_REST = [40.0] * 6
RESTS = [*MOVING, *AT_REST, 45.0, 50.0]


def test_a_rest_between_two_moves():
    assert motionless_spans(rows_of(RESTS), ["take"]) == {"v": [(8, 13)]}
    assert motionless_spans(rows_of(MOVING), ["take"]) == {"v": []}


def test_unsteady_boxes_rest_up_to_a_share_of_their_size():
    shaky = [*MOVING, *(40 + 1.5 * (n % 2) for n in range(6)), 60.0]
    assert motionless_spans(rows_of(shaky), ["take"]) == {"v": [(8, 13)]}
    assert motionless_spans(rows_of(shaky), ["take"], motion=0.05) == {"v": []}


def test_a_slow_hand_does_not_rest():
    crawling = [0.4 * n for n in range(60)]  # 2 % of its size a frame
    spans = motionless_spans(rows_of(crawling), ["take"], shortest=0.5)["v"]
    assert spans == []


def test_seconds_decide_not_frames():
    assert motionless_spans(rows_of(RESTS, fps=10), ["take"], shortest=0.5) == {"v": [(8, 13)]}
    assert motionless_spans(rows_of(RESTS, fps=30), ["take"], shortest=0.5) == {"v": []}


@pytest.mark.parametrize("gap, spans", [(5, [(0, 7)]), (15, [])])
def test_unseen_frames_are_bridged_up_to_a_second(gap, spans):
    frames = [0, 1, 1 + gap, 2 + gap]  # two tenths of a second at either end
    found = motionless_spans(rows_of([40.0] * 4, frames), ["take"])
    assert found == {"v": spans}


def test_other_classes_and_boxes_without_a_track_do_not_count():
    assert motionless_spans(rows_of(RESTS, label=1), ["take"]) == {"v": []}
    assert motionless_spans(rows_of(RESTS, track=NO_TRACK), ["take"]) == {"v": []}
    assert motionless_spans(rows_of(RESTS, label=1), ["take", "put"]) == {"v": [(8, 13)]}


def test_the_stops_of_generated_footage_are_found():
    config = FootageConfig(
        minutes=0.5, scenes=1, size=(64, 112), fps=15, hand_scale=2.4, still_share=1.0, seed=3
    )
    scene = Scene(config, 0)
    video = scene.annotations("front")
    stops = scene_facts(scene)[video.name]["motionless"]
    paired = {name for pair in scene.classes.reverses.items() for name in pair}
    truth = AnnotationSet(tuple(scene.classes.names), {video.name: video})
    measured = motionless_spans(truth, paired)[video.name]
    known = np.zeros(video.num_frames, bool)
    found = np.zeros(video.num_frames, bool)
    for stop in stops:
        known[stop["first"] : stop["last"] + 1] = True
    for first, last in measured:
        found[first : last + 1] = True
    assert known.sum() > 20
    assert (known & found).sum() > 0.9 * known.sum()
