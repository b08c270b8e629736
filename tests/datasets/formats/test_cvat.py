"""CVAT for video 1.1: interpolation rules on hand-made files, and writing then reading."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.cvat import read_cvat, write_cvat
from stadet.datasets.formats.keyframes import keyframes
from stadet.detect.structures import VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

INFO = {"a": VideoInfo("a", (100, 200), 30.0, 50)}


def box(frame, x=10.0, *, outside=0, keyframe=1, attributes="", width=20.0):
    return (
        f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="{keyframe}" '
        f'xtl="{x}" ytl="5" xbr="{x + width}" ybr="25">{attributes}</box>'
    )


def attribute(value, name="action"):
    return f'<attribute name="{name}">{value}</attribute>'


def document(tmp_path: Path, *tracks: str, meta="", name="a") -> Path:
    path = tmp_path / f"{name}.xml"
    body = "".join(tracks)
    path.write_text(f"<annotations><version>1.1</version>{meta}{body}</annotations>")
    return path


def track(*boxes, label="pick", number=0, extra=""):
    return f'<track id="{number}" label="{label}"{extra}>{"".join(boxes)}</track>'


def task(start=0, size=50, step=1, stop=None, extra=""):
    stop_text = f"<stop_frame>{stop}</stop_frame>" if stop is not None else ""
    filter_text = f"<frame_filter>step={step}</frame_filter>" if step > 1 else ""
    return (
        f"<meta><task><size>{size}</size><start_frame>{start}</start_frame>{stop_text}"
        f"{filter_text}{extra}</task></meta>"
    )


def read(path, **options):
    return read_cvat(path, videos=INFO, **options).videos["a"]


def test_interpolates_linearly_between_keyframes(tmp_path):
    video = read(document(tmp_path, track(box(3, 10), box(7, 30))))
    assert video.frames.tolist() == [3, 4, 5, 6, 7]
    assert video.boxes[:, 0].tolist() == [10, 15, 20, 25, 30]
    assert np.unique(video.track_ids).tolist() == [0]
    assert video.looked_at.all()


def test_never_interpolates_across_outside(tmp_path):
    boxes = box(2, 10), box(4, 20), box(6, 90, outside=1), box(10, 50), box(11, 51)
    video = read(document(tmp_path, track(*boxes)))
    assert video.frames.tolist() == [2, 3, 4, 5, 10, 11]  # the reopened track starts at 10
    assert video.boxes[:, 0].tolist() == [10, 15, 20, 20, 50, 51]
    assert len(np.unique(video.track_ids)) == 1


def test_listed_interpolated_boxes_stand_as_they_are(tmp_path):
    video = read(document(tmp_path, track(box(0, 0), box(1, 7, keyframe=0), box(2, 10))))
    assert video.boxes[:, 0].tolist() == [0, 7, 10]


def test_an_empty_task_is_looked_at_without_boxes(tmp_path):
    video = read(document(tmp_path, meta=task(10, 5)), names=["pick"])
    assert np.flatnonzero(video.looked_at).tolist() == [10, 11, 12, 13, 14]
    assert len(video.frames) == 0 and video.labels.shape == (0, 1)


def test_start_and_step_with_source_numbers(tmp_path):
    meta = task(start=10, size=5, step=4, stop=26)
    video = read(document(tmp_path, track(box(14, 0), box(22, 20)), meta=meta))
    assert np.flatnonzero(video.looked_at).tolist() == [10, 14, 18, 22, 26]
    assert video.frames.tolist() == [14, 18, 22]
    assert video.boxes[:, 0].tolist() == [0, 10, 20]


def test_start_and_step_with_task_numbers(tmp_path):
    meta = task(start=10, size=5, step=4)
    video = read(document(tmp_path, track(box(1, 0), box(3, 20)), meta=meta))
    assert video.frames.tolist() == [14, 18, 22]


def test_action_as_mutable_attribute(tmp_path):
    boxes = (
        box(0, attributes=attribute("pick")),
        box(2, attributes=attribute("none")),
        box(4, attributes=attribute("put;wipe")),
    )
    findings = Findings()
    path = document(tmp_path, track(*boxes, label="worker"))
    annotations = read_cvat(path, videos=INFO, action="action", findings=findings)
    assert annotations.names == ("pick", "put", "wipe")
    video = annotations.videos["a"]
    assert video.frames.tolist() == [0, 1, 4]
    assert video.labels.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert findings.lines() == [
        f"{path}: 3 classes declared nowhere, taken as used (first: pick, put, wipe); "
        "2 boxes without an action left out (first: track 0 frame 2)"
    ]


def test_action_as_attribute_of_the_track_and_as_checkboxes(tmp_path):
    fixed = f'<track id="0" label="worker">{attribute("pick")}{box(0)}</track>'
    assert read(document(tmp_path, fixed), action="action").labels.tolist() == [[True]]
    boxes = box(0, attributes=attribute("true", "pick") + attribute("false", "put"))
    video = read(document(tmp_path, track(boxes)), action="checkboxes", names=["put", "pick"])
    assert video.labels.tolist() == [[False, True]]


def test_several_labels_for_one_box_are_one_box_of_one_actor(tmp_path):
    first = track(box(0, 10), box(4, 10), label="pick", number=0)
    second = track(box(3, 10), box(6, 16), label="put", number=1)
    other = track(box(3, 90), box(4, 90), label="put", number=2)
    annotations = read_cvat(document(tmp_path, first, second, other), videos=INFO)
    video = annotations.videos["a"]
    # second moves to x = 12 on frame 4: two places at once, hence two actors, and frame 3 two boxes
    assert video.frames.tolist() == [0, 1, 2, 3, 3, 3, 4, 4, 4, 5, 6]
    second = track(box(3, 10), box(4, 10), box(6, 16), label="put", number=1)
    video = read(document(tmp_path, first, second, other))
    assert video.frames.tolist() == [0, 1, 2, 3, 3, 4, 4, 5, 6]
    assert video.labels[video.frames == 3].tolist() == [[True, True], [False, True]]
    assert video.track_ids.tolist() == [0, 0, 0, 0, 1, 0, 1, 0, 0]


def test_boxes_outside_are_clipped_counted_and_reported(tmp_path):
    findings = Findings()
    boxes = track(box(0, -5), box(1, 300), box(2, 10, width=0), box(3, 10))
    path = document(tmp_path, boxes)
    video = read_cvat(path, videos=INFO, names=["pick"], findings=findings).videos["a"]
    assert video.frames.tolist() == [0, 3]
    assert video.boxes[0].tolist() == [0, 5, 15, 25]
    assert findings.lines() == [
        f"{path}: 1 boxes over the edge of the frame clipped (first: a frame 0); "
        "1 boxes wholly outside the frame dropped (first: a frame 1); "
        "1 boxes of no area dropped (first: a frame 2)"
    ]


def test_boxes_are_scaled_from_the_stated_size(tmp_path):
    meta = "<meta><original_size><width>400</width><height>200</height></original_size></meta>"
    video = read(document(tmp_path, track(box(0, 40)), meta=meta))
    assert video.boxes[0].tolist() == [20, 2.5, 30, 12.5]


@pytest.mark.parametrize(
    ("tracks", "meta", "message"),
    [
        ((track(box(60)),), "", "track 0: frame 60 is not a frame of the task"),
        ((track(box(12)),), task(10, 5, 4), "frame 12 is not a frame"),
        ((track(box(55)),), task(0, 60), "frame 55: the video has 50 frames"),
        ((track(box(1, float("nan"))),), "", "track 0 frame 1: xtl: expected a finite number"),
        ((track(box(1), box(1, 11)),), "", "frame 1 is listed twice"),
        ((track(box(1), label="pik"),), "", "unknown label 'pik' .did you mean pick"),
        (('<image id="60"></image>',), "", "expected one of the 50 frames"),
        ((), "<meta><project></project></meta>", "expected the tasks of a project"),
        (("<track id='0'>",), "", "broken XML"),
        (("<track id='0' label='pick'><box frame='x'/></track>",), "", "expected a whole number"),
    ],
)
def test_broken_files_give_one_line(tmp_path, tracks, meta, message):
    path = document(tmp_path, *tracks, meta=meta)
    with pytest.raises(UserError, match=message) as error:
        read(path, names=["pick"])
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_finds_its_video_by_stem_source_or_task(tmp_path):
    path = document(tmp_path, name="export", meta="<meta><source>a.mp4</source></meta>")
    assert list(read_cvat(path, videos=INFO, names=["x"]).videos) == ["a"]
    with pytest.raises(UserError, match="expected a video called other"):
        read_cvat(document(tmp_path, name="other"), videos=INFO)
    with pytest.raises(UserError, match="annotated in"):
        document(tmp_path, name="a")
        (tmp_path / "other.xml").unlink()
        read_cvat(tmp_path, videos=INFO)


def test_writes_what_it_reads_tracks_labels_and_gaps(tmp_path):
    labels = np.array([[1, 0], [1, 1], [0, 1], [1, 0], [0, 1]], bool)
    video = VideoAnnotations.build(
        "a",
        (100, 200),
        30.0,
        np.arange(50) < 40,
        [3, 4, 5, 9, 4],
        [[1, 2, 30, 40]] * 4 + [[50, 50, 60.125, 60]],
        labels,
        [7, 7, 7, 7, 9],
    )
    assert write_cvat(tmp_path / "a.xml", video, ["<pick & put>", 'a "b"'])
    back = read_cvat(tmp_path / "a.xml", videos=INFO)
    assert back.names == ("<pick & put>", 'a "b"')
    again = back.videos["a"]
    for column in ("looked_at", "frames", "boxes", "labels"):
        np.testing.assert_array_equal(getattr(again, column), getattr(video, column))
    assert again.track_ids.tolist() == [0, 0, 1, 0, 0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), step=st.integers(1, 3))
def test_round_trip(tmp_path_factory, seed, step):
    """Everything but the numbers of the tracks comes back; those up to their names."""
    rng = np.random.default_rng(seed)
    looked_at = np.zeros(50, bool)
    looked_at[rng.integers(0, 9) : 50 : step] = True
    seen = np.flatnonzero(looked_at)
    pairs = [(t, f) for t in range(4) for f in seen if rng.random() < 0.6]
    corner = rng.uniform(0, 90, (len(pairs), 2))
    boxes = np.column_stack([corner, corner + rng.uniform(0.01, 10, (len(pairs), 2))]).round(4)
    labels = rng.random((len(pairs), 3)) < 0.4
    labels[np.arange(len(pairs)), rng.integers(0, 3, len(pairs))] = True
    video = VideoAnnotations.build(
        "a",
        (100, 200),
        30.0,
        looked_at,
        [f for _, f in pairs],
        boxes,
        labels,
        [t for t, _ in pairs],
    )
    path = tmp_path_factory.mktemp("cvat") / "a.xml"
    write_cvat(path, video, list("xyz"), keyframe_tolerance=float(rng.uniform(0, 50)))
    findings = Findings()
    again = read(path, findings=findings)
    assert findings.lines() == []
    np.testing.assert_array_equal(again.looked_at, video.looked_at)
    np.testing.assert_array_equal(again.frames, video.frames)
    ours, theirs = (np.lexsort((*v.boxes.T, v.frames)) for v in (video, again))
    np.testing.assert_array_equal(again.boxes[theirs], video.boxes[ours])
    np.testing.assert_array_equal(again.labels[theirs], video.labels[ours])
    pairs = set(zip(video.track_ids[ours].tolist(), again.track_ids[theirs].tolist(), strict=True))
    assert len(pairs) == len(np.unique(video.track_ids)) == len(np.unique(again.track_ids))


def test_says_where_a_task_cannot_hold_the_looked_at_frames(tmp_path):
    def write(mask):
        empty = np.zeros(0)
        video = VideoAnnotations.build("a", (100, 200), 30.0, mask, empty, empty, np.zeros((0, 1)))
        exact = write_cvat(tmp_path / "a.xml", video, ["x"])
        return exact, read(tmp_path / "a.xml").looked_at

    frames = np.arange(50)
    for mask in (frames % 7 == 3, frames > 20, frames < 0, frames == 4):
        exact, again = write(mask)
        assert exact and (again == mask).all()
    exact, again = write((frames < 5) | (frames > 20))
    assert not exact and again.all()


def test_keyframes_restore_the_run_within_tolerance():
    rng = np.random.default_rng(0)
    boxes = np.cumsum(rng.normal(0, 1, (60, 4)), axis=0)
    for tolerance in (0.0, 0.5, 3.0):
        keep = np.flatnonzero(keyframes(boxes, tolerance))
        restored = np.column_stack(
            [np.interp(np.arange(60), keep, boxes[keep, side]) for side in range(4)]
        )
        assert np.abs(restored - boxes).max() <= tolerance + 1e-9
    assert keyframes(np.linspace(0, 1, 9)[:, None] * np.ones(4), 1e-9).sum() == 2
