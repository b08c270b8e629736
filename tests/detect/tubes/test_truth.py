import numpy as np
import pytest

from stadet.detect.structures import VideoAnnotations
from stadet.detect.tubes.truth import truth_tubes
from stadet.engine.errors import UserError

BOX = np.array([10.0, 10.0, 50.0, 90.0])


def annotations(frames, track_ids=None, labels=None, looked_at=None, boxes=None):
    count = len(frames)
    return VideoAnnotations.build(
        "v",
        (240, 320),
        25.0,
        np.ones(40, dtype=bool) if looked_at is None else looked_at,
        frames,
        np.tile(BOX, (count, 1)) + np.asarray(frames)[:, None] if boxes is None else boxes,
        np.ones((count, 1), dtype=bool) if labels is None else labels,
        track_ids,
    )


def spans(tubes):
    return [(tube.start, tube.stop, tube.label) for tube in tubes]


def test_a_track_is_one_tube_a_run_and_label():
    labels = np.zeros((12, 2), dtype=bool)
    labels[:8, 0] = True
    labels[5:, 1] = True
    frames = [*range(3, 10), *range(12, 17)]  # the track leaves for frames 10 and 11
    tubes = truth_tubes(annotations(frames, np.full(12, 7), labels))
    assert spans(tubes) == [(3, 10, 0), (8, 10, 1), (12, 13, 0), (12, 17, 1)]
    np.testing.assert_array_equal(tubes[0].boxes, BOX + np.arange(3, 10)[:, None])
    assert all(tube.score == 1 for tube in tubes)


def test_two_tracks_at_one_place_stay_two():
    frames = np.repeat(np.arange(4), 2)
    assert spans(truth_tubes(annotations(frames, np.tile([1, 2], 4)))) == [(0, 4, 0), (0, 4, 0)]


@pytest.mark.parametrize("tracked", [True, False])
def test_frames_nobody_looked_at_are_bridged_where_they_are_few(tracked):
    looked = np.ones(40, dtype=bool)
    looked[[5, 6, 7, 20, 21, 22, 23, 24, 25]] = False
    frames = np.flatnonzero(looked[:30])
    ids = np.full(len(frames), 4) if tracked else None
    tubes = truth_tubes(annotations(frames, ids, looked_at=looked), max_gap=5)
    assert spans(tubes) == [(0, 20, 0), (26, 30, 0)]
    np.testing.assert_allclose(tubes[0].boxes, BOX + np.arange(20)[:, None])


def test_boxes_without_tracks_are_linked_by_overlap():
    frames = np.repeat(np.arange(6), 2)
    boxes = np.tile([BOX, BOX + 150], (6, 1))[:11]  # the second leaves a frame earlier
    tubes = truth_tubes(annotations(frames[:11], boxes=boxes))
    assert spans(tubes) == [(0, 6, 0), (0, 5, 0)]
    assert spans(truth_tubes(annotations([0, 1, 3, 4]))) == [(0, 2, 0), (3, 5, 0)]


def test_no_boxes():
    assert truth_tubes(annotations(np.zeros(0, dtype=np.int64))) == []
    nobody = annotations(np.zeros(0, dtype=np.int64), looked_at=np.zeros(5, dtype=bool))
    assert truth_tubes(nobody) == []


def test_a_track_twice_on_a_frame_is_an_error():
    with pytest.raises(UserError, match="track 3 on frame 1 "):
        truth_tubes(annotations([0, 1, 1], np.full(3, 3)))
