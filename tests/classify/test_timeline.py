"""Windows over long videos, segments, and the checklist."""

import csv
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.classify.answers import Answers
from stadet.classify.checklist import check_timelines, check_videos, describe
from stadet.classify.rejection import Rejection
from stadet.classify.timeline import Timeline, plot_timeline, segments, window_spans, write_timeline
from stadet.detect.classification_batch import UNKNOWN
from stadet.engine.errors import UserError

NAMES = ("rinse", "soap", "dry")


def timeline(answers, none=(), seconds=1.0):
    """One window a second, two seconds long."""
    starts = np.arange(len(answers)) * seconds
    probabilities = np.full((len(answers), 3), 0.1)
    probabilities[np.arange(len(answers)), answers] = 0.8
    flags = np.isin(np.arange(len(answers)), none)
    return Timeline("film", NAMES, starts, starts + 2 * seconds, probabilities, flags)


@given(st.integers(1, 400), st.floats(1, 60), st.floats(0.1, 10), st.floats(0.05, 5))
def test_windows_cover_the_video(num_frames, fps, window, stride):
    spans = window_spans(num_frames, fps, window, stride)
    assert spans[0][0] == 0 and spans[-1][1] == num_frames
    assert len({stop - start for start, stop in spans}) == 1
    if stride <= window:
        assert all(b[0] <= a[1] for a, b in pairwise(spans))
    assert all(b[0] > a[0] for a, b in pairwise(spans))


def test_windows_of_no_length_are_refused():
    with pytest.raises(UserError, match="above 0 s, found 0 and 1"):
        window_spans(10, 25, 0, 1)


def test_runs_of_one_answer_are_segments():
    found = segments(timeline([0, 0, 1, 1, 1, 0]))
    assert [(s.label, s.start, s.stop) for s in found] == [
        (0, 0.0, 2.5),
        (1, 2.5, 5.5),
        (0, 5.5, 7.0),
    ]
    assert found[0].score == pytest.approx(0.8)
    assert segments(timeline([])) == []


def test_windows_of_no_class_separate_segments():
    found = segments(timeline([0, 0, 0], none=[1]))
    assert [(s.label, s.start, s.stop) for s in found] == [(0, 0.0, 1.5), (0, 2.5, 4.0)]
    assert segments(timeline([0, 1], none=[0, 1])) == []


def test_the_table_and_the_picture(tmp_path):
    lines = [timeline([0, 1], none=[1]), timeline([2])]
    write_timeline(tmp_path / "t.csv", lines)
    with open(tmp_path / "t.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["answer"] for row in rows] == ["rinse", "", "dry"]
    assert rows[1]["start_s"] == "1.000" and rows[1]["soap"] == "0.8000"
    for number, line in enumerate([*lines, timeline([1, 1], none=[0, 1])]):
        plot_timeline(tmp_path / f"{number}.png", line)
        assert (tmp_path / f"{number}.png").stat().st_size > 5000


def test_a_step_is_done_where_it_lasts_long_enough():
    steps = check_timelines([timeline([0, 0, 0, 1, 2, 2, 2, 2])], min_seconds=2.0)
    assert [step.done for step in steps] == [True, False, True]
    assert steps[0].seconds == pytest.approx(3.5)
    lines = describe(steps)
    assert lines[0] == "rinse  done (3.5 s): film 0.0-3.5 s"
    assert lines[1] == "soap   MISSING"
    assert lines[-1] == "2 of 3 steps done; missing: soap"


def test_videos_tick_off_steps_unless_they_show_none():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.0, 0.0, 1.0]])
    unknown, videos = np.full(3, UNKNOWN), ("x", "y", "z")
    answers = Answers(NAMES, videos, unknown, probabilities, np.full(3, np.nan))
    steps = check_videos(answers, Rejection(confidence=0.5))
    assert [step.seen for step in steps] == [("x",), (), ("z",)]
    assert describe(check_videos(answers, Rejection()))[0] == "rinse  done: x, y"
    assert describe(check_timelines([], 1.0)) == ["0 of 0 steps done, none missing"]
