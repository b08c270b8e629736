import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.detections.reader import DetectionsWriter, read_detections
from stadet.detect.structures import AnnotationSet, Detections, VideoAnnotations
from stadet.engine.errors import UserError

NAMES = ("wave", "sit")


def truth(frames=10, names=NAMES, videos=("a", "b")):
    empty = np.zeros(0)
    return AnnotationSet(
        names,
        {
            name: VideoAnnotations.build(
                name, (100, 100), 25, np.ones(frames), empty, empty, np.zeros((0, len(names)))
            )
            for name in videos
        },
    )


def one(box=(1, 2, 31, 42), objectness=0.5, scores=(0.25, 0.0)):
    return Detections(
        np.array([box], dtype=float), np.array([objectness]), np.array([scores], dtype=float)
    )


def lines(*rows, header=None):
    header = header or {
        "schema": "stad-detections/1",
        "categories": [{"id": 7, "name": "sit"}, {"id": 3, "name": "wave"}],
        "score_floor": 0.01,
    }
    return "".join(
        (row if isinstance(row, str) else json.dumps(row)) + "\n" for row in (header, *rows)
    )


def row(video="a", frame=0, bbox=(0, 0, 5, 5), scores=None, **more):
    return {"video": video, "frame": frame, "bbox": list(bbox), "objectness": 0.5} | {
        "scores": {"7": 0.5} if scores is None else scores,
        **more,
    }


def test_round_trip(tmp_path):
    path = tmp_path / "d.jsonl"
    rng = np.random.default_rng(0)
    scores = rng.random((5, 2)).astype(np.float32).astype(float)
    scores[scores < 0.3] = 0
    boxes = np.array([[0, 0, 10, 10]]) + rng.integers(0, 50, (5, 1))
    written = Detections(boxes.astype(float), np.array([0.5, np.nan, 1, 0, 0.25]), scores)
    with DetectionsWriter(path, NAMES, 0.1) as writer:
        writer.write("b", 4, written)
        writer.write("a", 2, one())
        writer.write("a", 0, one(scores=(0.05, 0.2)))  # one score below the floor
        writer.processed("a", 0, 3)
        writer.processed("a", 4, 6)
    found = read_detections(path, truth())
    assert found.names == NAMES and found.score_floor == 0.1 and not found.notes
    np.testing.assert_array_equal(found.videos["b"].boxes, written.boxes)
    np.testing.assert_array_equal(
        found.videos["b"].scores.astype(np.float32), written.scores.astype(np.float32)
    )
    np.testing.assert_array_equal(found.videos["b"].objectness, written.objectness)
    np.testing.assert_array_equal(found.videos["a"].frames, [0, 2])
    np.testing.assert_array_equal(found.videos["a"].scores, [[0, 0.2], [0.25, 0]])
    np.testing.assert_array_equal(found.videos["a"].processed, [[0, 6]])
    assert found.videos["a"][7] is None
    assert len(found.videos["a"][1]) == 0
    assert len(found.videos["a"][2]) == 1


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_float32_scores_come_back_exactly(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("d") / "d.jsonl"
    value = data.draw(st.floats(2.0**-20, 1, width=32))
    with DetectionsWriter(path, NAMES) as writer:
        writer.write("a", 0, one(scores=(value, 0)))
    assert np.float32(read_detections(path).videos["a"].scores[0, 0]) == np.float32(value)


def test_classes_follow_the_ground_truth_by_name(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(scores={"7": 0.5, "3": 0.25})))
    np.testing.assert_array_equal(read_detections(path).videos["a"].scores, [[0.5, 0.25]])
    np.testing.assert_array_equal(read_detections(path, truth()).videos["a"].scores, [[0.25, 0.5]])


def test_empty_file_of_a_finished_run(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines())
    found = read_detections(path, truth())
    assert len(found) == 0
    np.testing.assert_array_equal(found.videos["a"].processed, [[0, 9]])


def test_cut_off_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "d.jsonl"
    whole = lines(row(), {"video": "a", "processed": [0, 3]}, row(frame=4), row(frame=5))
    for cut in range(1, len(whole.splitlines()[-1])):
        path.write_text(whole[: -cut - 1])
        found = read_detections(path, truth())
        np.testing.assert_array_equal(found.videos["a"].frames, [0, 4])
        np.testing.assert_array_equal(found.videos["a"].processed, [[0, 4]])
        assert "cut off" in found.notes[0] and "the rest of the file counts" in found.notes[0]
    path.write_text(whole[:-1])  # the last newline alone is missing
    assert not read_detections(path, truth()).notes


def test_a_failure_before_the_first_finished_frame_leaves_no_file(tmp_path):
    path = tmp_path / "d.jsonl"
    with pytest.raises(RuntimeError), DetectionsWriter(path, NAMES):
        raise RuntimeError
    assert not path.exists()
    with pytest.raises(RuntimeError), DetectionsWriter(path, NAMES) as writer:
        writer.processed("v", 0, 3)
        raise RuntimeError
    with pytest.raises(RuntimeError), DetectionsWriter(path, NAMES, resume=True):
        raise RuntimeError
    assert read_detections(path).videos["v"].processed.tolist() == [[0, 3]]


def test_resume_cuts_what_was_not_finished_and_goes_on(tmp_path):
    path = tmp_path / "d.jsonl"
    with DetectionsWriter(path, NAMES) as writer:
        writer.write("a", 0, one())
        writer.processed("a", 0, 0)
        writer.write("a", 1, one())  # of frames that were not finished
    with open(path, "a") as stream:
        stream.write('{"video": "a", "fra')
    with DetectionsWriter(path, NAMES, resume=True) as writer:
        writer.write("a", 1, one())
    found = read_detections(path, truth())
    assert not found.notes
    np.testing.assert_array_equal(found.videos["a"].frames, [0, 1])
    with pytest.raises(UserError, match="another header"):
        DetectionsWriter(path, ("x",), resume=True)


BAD_ROWS = [
    (row(video="nowhere"), "videos that are not in the ground truth", "'nowhere'"),
    (row(frame=10), "past the end", "frame 10 of 'a', which has 10"),
    (row(frame=-1), "negative frames", "-1"),
    (row(scores={"9": 0.5}), "categories that the header does not list", "category 9"),
    (row(scores={"7": float("nan")}), "NaN", "nan"),
    (row(bbox=(0, 0, -1, 5)), "negative width or height", "-1"),
    (row(bbox=(0, 0, float("inf"), 5)), "not finite", "inf"),
    (row(bbox=(0, 0, 5)), "no detection and no range", "bbox"),
    (row(frame="3"), "no detection and no range", "frame"),
    (row(scores=[0.5]), "no detection and no range", "scores"),
    ({"video": "a"}, "no detection and no range", "bbox"),
    (row(video=5), "no detection and no range", "video"),
    ([1, 2], "no detection and no range", "expected an object"),
    ({"video": "a", "processed": [5, 2]}, "no detection and no range", "processed"),
    ({"video": "zzz", "processed": [0, 2]}, "processed videos", "zzz"),
    ("{nonsense", "lines that are not JSON", "nonsense"),
]


@pytest.mark.parametrize("bad, what, shown", BAD_ROWS)
def test_bad_rows_are_counted_shown_and_left_out(tmp_path, bad, what, shown):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(frame=1), bad, bad if "nonsense" in str(bad) else row(frame=2)))
    found = read_detections(path, truth())
    assert len(found.notes) == 1, found.notes
    assert what in found.notes[0] and shown in found.notes[0] and "d.jsonl" in found.notes[0]
    assert 1 in found.videos["a"].frames
    assert np.isfinite(found.videos["a"].scores).all()
    with pytest.raises(UserError, match=what):
        read_detections(path, truth(), strict=True)


def test_oddities_are_told_and_kept(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(), row(), row(frame=2, scores={"7": 99})))
    found = read_detections(path, truth())
    assert len(found) == 3
    assert any("1 repeated rows" in note and "line 3" in note for note in found.notes)
    assert any("scores above 1" in note for note in found.notes)


def test_normalised_boxes_are_noticed(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(bbox=(0.1, 0.1, 0.5, 0.5))))
    annotations = AnnotationSet(
        NAMES,
        {"a": VideoAnnotations.build("a", (9, 9), 25, [1], [0], [[0, 0, 50, 50]], [[1, 0]])},
    )
    assert "look normalised" in read_detections(path, annotations).notes[0]


def test_corners_in_place_of_sizes_are_noticed(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(bbox=(60, 60, 90, 90)), row(bbox=(10, 10, 20, 20))))
    (note,) = read_detections(path, truth()).notes
    assert "far past the frame" in note and "in a frame of 100x100" in note


def test_a_listed_score_of_zero_is_still_a_detection(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(scores={"7": 0.0})))
    scores = read_detections(path).videos["a"].scores
    assert 0 < scores[0, 0] < 1e-300 and scores[0, 1] == 0


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected a header"),
        ("hello\n", "expected a header"),
        ('{"schema": "other/1"}\n', "expected a header"),
        ('{"schema": "stad-detections/1", "categories": ["a"]}\n', "list of"),
        (
            '{"schema": "stad-detections/1", "categories": [{"id": 1, "name": "a"}, '
            '{"id": 1, "name": "b"}]}\n',
            "unique category ids",
        ),
        (
            '{"schema": "stad-detections/1", "categories": [{"id": 1, "name": "x"}]}\n',
            "found none of them",
        ),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "d.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_detections(path, truth())
    with pytest.raises(UserError, match="found none"):
        read_detections(tmp_path / "missing.jsonl")


def test_coco_results(tmp_path):
    ground_truth = {
        "videos": [{"id": 5, "name": "a"}, {"id": 6, "name": "b"}],
        "images": [
            {"id": 10, "video_id": 6, "frame_id": 3},
            {"id": 11, "video_id": 5, "frame_id": 0},
        ],
        "categories": [{"id": 2, "name": "sit"}, {"id": 1, "name": "wave"}],
        "annotations": [],
    }
    results = [
        {"image_id": 10, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "id": 1},
        {"image_id": 11, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.25, "id": 1},
        {"image_id": 99, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.25},
        {"image_id": 11, "category_id": 9, "bbox": [1, 2, 3, 4], "score": 0.25},
        {"image_id": 11, "category_id": 2, "bbox": [1, 2, 3], "score": 0.25},
    ]
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    found = read_detections(path, truth(), ground_truth_json=tmp_path / "gt.json")
    np.testing.assert_array_equal(found.videos["b"].scores, [[0.5, 0]])
    np.testing.assert_array_equal(found.videos["b"].frames, [3])
    np.testing.assert_array_equal(found.videos["b"].boxes, [[1, 2, 4, 6]])
    np.testing.assert_array_equal(found.videos["a"].scores, [[0, 0.25]])
    assert np.isnan(found.videos["a"].objectness).all()
    for what in ("images that", "categories that", "without image_id", "repeated ids"):
        assert any(what in note for note in found.notes), what
    with pytest.raises(UserError, match="--ground-truth"):
        read_detections(path, truth())


def test_chunks_change_nothing(tmp_path, monkeypatch):
    path = tmp_path / "d.jsonl"
    rows = [row(video="ab"[i % 2], frame=i % 10, scores={"7": 0.1 + i / 100}) for i in range(50)]
    path.write_text(lines(*rows[:25], {"video": "a", "processed": [0, 9]}, "{bad", *rows[25:]))
    whole = read_detections(path, truth())
    monkeypatch.setattr("stadet.detect.detections.json_lines.CHUNK_BYTES", 300)
    parts = read_detections(path, truth())
    assert whole.notes == parts.notes and "line 28" in parts.notes[0]
    for name in "ab":
        for field in ("frames", "boxes", "scores", "processed"):
            np.testing.assert_array_equal(
                getattr(whole.videos[name], field), getattr(parts.videos[name], field)
            )


def test_range_rows_bring_the_rate_or_the_times(tmp_path):
    times = np.cumsum([0, 0.04, 0.04, 0.08, 0.12, 0.04])
    with DetectionsWriter(tmp_path / "d.jsonl", NAMES) as writer:
        writer.processed("even", 0, 9, fps=30000 / 1001)
        writer.processed("even", 10, 19, fps=30000 / 1001)
        writer.processed("uneven", 0, 1, fps=18.75, times=times[:2])
        writer.processed("uneven", 4, 5, fps=18.75, times=times[4:])
        writer.processed("silent", 0, 9)
    found = read_detections(tmp_path / "d.jsonl")
    assert not found.notes
    assert found.videos["even"].clock.fps == pytest.approx(30000 / 1001, abs=1e-6)
    assert found.videos["even"].clock.constant
    assert found.videos["silent"].clock is None
    clock = found.videos["uneven"].clock
    expected = np.r_[times[:2], np.interp([2, 3], [1, 4], times[[1, 4]]), times[4:]]
    assert clock.times == pytest.approx(expected)
    assert clock.fps == pytest.approx(5 / times[-1])


def test_frames_before_the_first_timed_one_keep_the_mean_distance(tmp_path):
    with DetectionsWriter(tmp_path / "d.jsonl", NAMES) as writer:
        writer.processed("a", 2, 4, times=[1.0, 1.1, 1.3])
    clock = read_detections(tmp_path / "d.jsonl").videos["a"].clock
    assert clock.times == pytest.approx([0.7, 0.85, 1.0, 1.1, 1.3])


@pytest.mark.parametrize(
    "more",
    [
        {"fps": 0},
        {"fps": "25"},
        {"fps": float("nan")},
        {"fps": [25]},
        {"times": [0.0]},
        {"times": 5},
        {"times": [0.0, float("inf")]},
        {"times": ["0", "1"]},
    ],
)
def test_a_rate_that_is_none_leaves_the_row_out(tmp_path, more):
    path = tmp_path / "d.jsonl"
    path.write_text(lines({"video": "a", "processed": [0, 1], **more}, row("a", 0)))
    found = read_detections(path)
    assert 'line 2: expected "processed" [first, last], an "fps" above 0' in found.notes[0]
    assert len(found) == 1
    with pytest.raises(UserError, match="line 2"):
        read_detections(path, strict=True)


def test_times_that_fall_are_told_and_not_used(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines({"video": "a", "processed": [0, 1], "times": [1.0, 0.5]}))
    found = read_detections(path)
    assert found.videos["a"].clock is None
    assert "times do not rise" in found.notes[0]
    assert found.videos["a"].processed.tolist() == [[0, 1]]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\\u0000b", ""])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    path = tmp_path / "d.jsonl"
    header = '{"schema": "stad-detections/1", "categories": [{"id": 1, "name": "a"}]}'
    row = f'{{"video": "{name}", "frame": 0, "bbox": [1, 1, 9, 9], "scores": {{"1": 0.5}}}}'
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(UserError, match=r"d\.jsonl, line 2: expected a video's name"):
        read_detections(path)


def test_classes_that_differ_by_case_or_blanks_are_the_ground_truths(tmp_path):
    path = tmp_path / "d.jsonl"
    names = [{"id": 1, "name": "Pick "}, {"id": 2, "name": "put"}, {"id": 3, "name": "PUT"}]
    header = json.dumps({"schema": "stad-detections/1", "categories": names})
    row = {"video": "v", "frame": 0, "bbox": [1, 1, 9, 9], "scores": {"1": 0.5, "2": 0.25, "3": 1}}
    path.write_text(f"{header}\n{json.dumps(row)}\n")
    found = read_detections(path, ["pick", "put"])
    assert found.videos["v"].scores.tolist() == [[0.5, 0.25]]  # "put" is there as it is
    assert "'Pick '" in found.notes[0] and "'PUT'" in found.notes[1]
