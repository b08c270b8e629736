import csv

import numpy as np
import pytest

from stadet.detect.structures import Tube
from stadet.detect.tubes.event_plot import plot_events
from stadet.detect.tubes.events import (
    EventOptions,
    count_over_time,
    find_events,
    time_text,
    write_counts,
    write_events,
)
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError

NAMES = ("pour", "wipe")
BOX = np.array([10.0, 20.0, 30.0, 60.0])


def tube(start, length, label=0, score=0.9, shift=0.0):
    return Tube(start, np.tile(BOX + shift, (length, 1)), label, score)


def events_of(*tubes, fps=10.0, **options):
    video = VideoTubes("v", tubes, fps, 1000)
    return find_events(TubeSet(NAMES, {"v": video}), EventOptions(**options))


def test_what_when_where_and_how_long():
    moving = Tube(20, BOX + np.arange(11)[:, None], 1, 0.7)
    (event,) = events_of(moving)
    assert (event.video, event.label, event.start, event.stop) == ("v", 1, 2.0, 3.1)
    assert event.duration == pytest.approx(1.1)
    np.testing.assert_allclose(event.box, BOX + 5)
    assert (event.score, event.tubes) == (pytest.approx(0.7), (0,))


def test_pieces_of_one_class_at_one_place_are_joined():
    pieces = (tube(0, 10, score=0.4), tube(13, 30, score=0.8), tube(90, 5))
    first, second = events_of(*pieces, join_seconds=0.5)
    assert (first.start, first.stop, first.tubes) == (0.0, 4.3, (0, 1))
    assert first.score == pytest.approx((10 * 0.4 + 30 * 0.8) / 40)
    assert second.tubes == (2,)
    assert len(events_of(*pieces, join_seconds=0.2)) == 3
    assert len(events_of(*pieces, join_seconds=0)) == 3
    assert len(events_of(tube(0, 10), tube(12, 10, label=1))) == 2
    assert len(events_of(tube(0, 10), tube(12, 10, shift=100))) == 2
    assert len(events_of(tube(0, 10), tube(5, 10))) == 2  # two at once stay two


def test_weak_and_short_are_left_out():
    assert events_of(tube(0, 50, score=0.2)) == []
    assert events_of(tube(0, 1)) == []
    assert len(events_of(tube(0, 50, score=0.2), min_score=0.1)) == 1
    assert events_of() == []


def test_unknown_rate_is_an_error():
    with pytest.raises(UserError, match="--fps"):
        events_of(tube(0, 10), fps=None)


def test_counts_hold_every_event_once():
    rng = np.random.default_rng(0)
    tubes = [
        tube(int(s), 5, int(c), shift=100.0 * i)
        for i, (s, c) in enumerate(
            zip(rng.integers(0, 900, 40), rng.integers(0, 2, 40), strict=True)
        )
    ]
    events = events_of(*tubes)
    edges, counts = count_over_time(events, 2, 7.0, 100.0)
    assert edges[-1] >= 100 and len(edges) == len(counts) + 1
    assert counts.sum() == len(events) == 40
    for start, row in zip(edges, counts, strict=False):
        for label in range(2):
            inside = [e for e in events if start <= e.start < start + 7 and e.label == label]
            assert row[label] == len(inside)
    empty_edges, empty = count_over_time([], 2, 60.0, 0.0)
    assert empty.tolist() == [[0, 0]] and empty_edges.tolist() == [0, 60]
    with pytest.raises(UserError, match="longer than 0"):
        count_over_time([], 2, 0.0, 1.0)


def test_csv_and_plot(tmp_path):
    events = events_of(tube(20, 11, 1), tube(610, 30))
    counts = {"v": count_over_time(events, 2, 60.0, 100.0)}
    write_events(tmp_path / "events.csv", events, NAMES, clock=11 * 3600)
    write_counts(tmp_path / "counts.csv", counts, NAMES)
    rows = list(csv.DictReader((tmp_path / "events.csv").open()))
    assert [row["action"] for row in rows] == ["wipe", "pour"]
    assert rows[0]["time"] == "11:00:02.0" and rows[1]["start_s"] == "61.00"
    assert [float(rows[0][side]) for side in ("x1", "y1", "x2", "y2")] == BOX.tolist()
    bins = list(csv.DictReader((tmp_path / "counts.csv").open()))
    assert [(row["pour"], row["wipe"], row["all"]) for row in bins] == [
        ("0", "1", "1"),
        ("1", "0", "1"),
    ]
    plot_events(tmp_path / "v.png", "v", events, counts["v"], NAMES)
    plot_events(tmp_path / "none.png", "v", [], count_over_time([], 2, 60.0, 0.0), NAMES)
    assert (tmp_path / "v.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "none.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00.0"), (59.96, "0:01:00.0"), (3723.45, "1:02:03.4")]
)
def test_time_text(seconds, text):
    assert time_text(seconds) == text
