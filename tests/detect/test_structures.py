from dataclasses import replace

import numpy as np
import pytest

from stadet.detect.structures import (
    NO_TRACK,
    AnnotationSet,
    Detections,
    FrameAnnotations,
    Tube,
    VideoAnnotations,
)


def make_video(frames=(5, 2, 2), looked_at=(2, 3, 5), num_frames=8, name="v", **changes):
    mask = np.zeros(num_frames, dtype=bool)
    mask[list(looked_at)] = True
    columns = {
        "boxes": np.arange(len(frames) * 4).reshape(-1, 4),
        "labels": np.eye(2)[np.arange(len(frames)) % 2],
    }
    return VideoAnnotations.build(name, (10, 20), 25, mask, frames, **{**columns, **changes})


def test_build_sorts_stably_by_frame():
    video = make_video()
    assert video.frames.tolist() == [2, 2, 5]
    assert video.boxes[:, 0].tolist() == [4, 8, 0]
    assert video.labels.dtype == bool and video.boxes.dtype == np.float64
    assert video.track_ids.tolist() == [NO_TRACK] * 3
    assert (video.num_frames, video.num_classes) == (8, 2)


def test_unseen_empty_and_annotated_frames_differ():
    video = make_video()
    assert video[0] is None
    assert len(video[3]) == 0 and video[3].labels.shape == (0, 2)
    assert len(video[2]) == 2
    for outside in (-1, 8):
        with pytest.raises(IndexError, match="v: frame"):
            video[outside]


def test_narrowed_forgets_what_nobody_looked_at():
    video = make_video()
    wanted = np.zeros(8, dtype=bool)
    wanted[[2, 4]] = True
    narrowed = video.narrowed(wanted)
    assert np.flatnonzero(narrowed.looked_at).tolist() == [2]
    assert narrowed.frames.tolist() == [2, 2]
    assert narrowed.boxes.tolist() == video.boxes[:2].tolist()
    assert narrowed[5] is None and video[5] is not None


def test_a_video_without_boxes():
    video = make_video(frames=(), labels=np.zeros((0, 2)))
    assert len(video[2]) == 0 and video[0] is None


@pytest.mark.parametrize(
    ("frames", "looked_at", "message"),
    [
        ((9,), (2,), "has 8 frames"),
        ((-1,), (2,), "has 8 frames"),
        ((4,), (2,), "was not looked at"),
    ],
)
def test_boxes_on_impossible_frames_are_refused(frames, looked_at, message):
    with pytest.raises(ValueError, match=message):
        make_video(frames=frames, looked_at=looked_at)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="labels"):
        FrameAnnotations(np.zeros((2, 4)), np.zeros((1, 3), dtype=bool), np.zeros(2))
    with pytest.raises(ValueError, match=r"expected shape \(\*, 4\), found \(2, 5\)"):
        FrameAnnotations(np.zeros((2, 5)), np.zeros((2, 3), dtype=bool), np.zeros(2))
    with pytest.raises(ValueError, match="sorted by frame"):
        VideoAnnotations(
            "v",
            (1, 1),
            1.0,
            np.ones(9, dtype=bool),
            np.array([5, 2]),
            np.zeros((2, 4)),
            np.zeros((2, 1), dtype=bool),
            np.zeros(2),
        )
    with pytest.raises(ValueError, match=r"boxes: expected a numpy array, found list"):
        FrameAnnotations([[0, 0, 1, 1]], np.zeros((1, 3), dtype=bool), np.zeros(1))
    with pytest.raises(ValueError, match="Tube"):
        Tube(0, np.zeros(4), 0)


def test_annotation_set_checks_names_and_columns():
    video = make_video()
    assert list(AnnotationSet(("a", "b"), {"v": video})) == [video]
    with pytest.raises(ValueError, match="2 columns for 3"):
        AnnotationSet(("a", "b", "c"), {"v": video})
    with pytest.raises(ValueError, match="under the name"):
        AnnotationSet(("a", "b"), {"w": video})
    assert list(AnnotationSet(("a",))) == []


def test_detections_select_and_rank():
    scores = np.array([[0.1, 0.7], [0.9, 0.2], [0.3, 0.4]])
    found = Detections(np.zeros((3, 4)), np.array([0.5, np.nan, 0.2]), scores)
    assert found.top_class.tolist() == [1, 0, 1]
    assert found.top_score.tolist() == [0.7, 0.9, 0.4]
    assert len(found[found.top_score > 0.5]) == 2
    nothing = Detections.empty(2)
    assert len(nothing) == 0 and nothing.top_class.shape == nothing.top_score.shape == (0,)
    assert len(found[np.zeros(3, dtype=bool)]) == 0


def test_tube_spans_its_boxes():
    tube = Tube(start=4, boxes=np.zeros((3, 4)), label=1)
    assert (len(tube), tube.stop) == (3, 7)


def test_ignored_boxes_follow_their_boxes():
    video = VideoAnnotations.build(
        "v",
        (10, 10),
        5,
        np.ones(3, dtype=bool),
        [2, 0, 1],
        np.tile([0, 0, 4, 4], (3, 1)),
        np.ones((3, 1), dtype=bool),
        ignored=[True, False, True],
    )
    assert video.ignored.tolist() == [False, True, True]
    assert video[0].ignored.tolist() == [False] and video[2].ignored.tolist() == [True]
    assert video.narrowed(np.array([True, False, True])).ignored.tolist() == [False, True]
    with pytest.raises(ValueError, match="ignored"):
        replace(video, ignored=np.zeros(2, dtype=bool))


def test_objects_are_what_is_not_ignored():
    columns = {"boxes": [[0, 0, 2, 2], [1, 1, 3, 3]], "labels": [[True], [True]]}
    looked_at = np.ones(4, bool)
    video = VideoAnnotations.build(
        "v", (10, 10), 25.0, looked_at, [2, 1], **columns, ignored=[True, False]
    )
    assert video.objects().frames.tolist() == [1]
    assert AnnotationSet(("a",), {"v": video}).objects().videos["v"].frames.tolist() == [1]
    assert video.without_ignored_frames().looked_at.tolist() == [True, True, False, True]
