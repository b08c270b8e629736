"""Clips of live hits: which frames they show, what the events say, and what ends them."""

import json
import time

import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.datasets.live.reader import LiveFrame
from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.streams import hit_clips
from stadet.tools.streams.hit_clips import HitClips
from stadet.tools.streams.live import run_live
from stadet.tools.streams.session import LiveAnswer
from tests.datasets.numbered_videos import number_of, numbered_frame, write_numbered
from tests.tools.small_checkpoints import save_small_checkpoint

SCENE = """\
schema: stad-scene/1
cameras: {counter: {}}
rules:
  - {name: anything, kind: presence, min_score: 0}
"""


def hit(what, start, stop, seconds, *, rule="hand", actor=None):
    return what, seconds, {"rule": rule, "actor": actor, "start": start, "stop": stop}


class Scripted:
    """A session that tells given events on given frames."""

    fps = None

    def __init__(self, events, last=()):
        self.events, self.last = events, list(last)

    def __call__(self, frame):
        return LiveAnswer(frame.image.copy(), tuple(self.events.get(frame.number, ())))

    def finish(self, seconds):
        return self.last


def numbers(path):
    video = open_video(path)
    return [number_of(video.frame(n)) for n in range(len(video))]


def play(tmp_path, events, *, count=80, rate=10, last=(), **options):
    """Ten frames a second whose pictures hold their number; (clips, rows of the events)."""
    video = write_numbered(tmp_path / "a.mp4", count=count, rate=rate)
    folder, log = tmp_path / "clips", tmp_path / "events.jsonl"
    session = Scripted(events, last)
    run_live([str(video)], lambda name: session, clips=folder, events=log, **options)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return {path.name: path for path in sorted(folder.glob("*.mp4"))}, rows


def test_a_clip_shows_the_seconds_before_and_after_its_hit(tmp_path):
    """Since 3.0 s, met at 3.5 s, until 4.2 s, told at 4.7 s: frames 20 to 52."""
    events = {35: [hit("began", 3.0, 3.5, 3.5)], 47: [hit("ended", 3.0, 4.2, 4.7)]}
    clips, rows = play(tmp_path, events, clip_seconds=1.0, clip_wait=0.5)
    assert [row["clip"] for row in rows] == ["a-0001.mp4"] * 2
    assert list(clips) == ["a-0001.mp4"]
    assert numbers(clips["a-0001.mp4"]) == list(range(20, 53))
    times = open_video(clips["a-0001.mp4"]).timestamps
    np.testing.assert_allclose(times, np.arange(33) / 10, atol=0.002)


def test_hits_that_overlap_have_a_clip_each(tmp_path):
    events = {
        30: [hit("began", 3.0, 3.0, 3.0, actor=1)],
        35: [hit("began", 3.5, 3.5, 3.5, actor=2), hit("began", 1.5, 3.5, 3.5, rule="in order")],
        # a hit that is over as it begins, and the end of the first
        36: [hit("ended", 1.5, 3.5, 3.6, rule="in order"), hit("ended", 3.0, 3.4, 3.6, actor=1)],
        60: [hit("ended", 3.5, 5.0, 6.0, actor=2)],
    }
    clips, rows = play(tmp_path, events, clip_seconds=0.5, clip_wait=2.0)
    named = {(row["rule"], row["actor"]): row["clip"] for row in rows}
    assert len(set(named.values())) == len(clips) == 3
    assert numbers(clips[named["hand", 1]]) == list(range(25, 40))
    assert numbers(clips[named["in order", None]]) == list(range(10, 41))
    # its end is told after the seconds after it: what came in between is shown, too
    assert numbers(clips[named["hand", 2]]) == list(range(30, 60))


def test_a_hit_at_either_end_of_the_stream(tmp_path):
    events = {0: [hit("began", 0.0, 0.0, 0.0)], 2: [hit("ended", 0.0, 0.1, 0.2)]}
    events[75] = [hit("began", 7.5, 7.5, 7.5)]
    clips, rows = play(tmp_path, events, last=[hit("ended", 7.5, 7.9, 7.9)], clip_seconds=1.0)
    assert [row["clip"] for row in rows] == ["a-0001.mp4"] * 2 + ["a-0002.mp4"] * 2
    assert numbers(clips["a-0001.mp4"]) == list(range(12))
    assert numbers(clips["a-0002.mp4"]) == list(range(65, 80))


def test_other_events_and_earlier_files_stay(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a-0001.mp4").write_bytes(b"earlier")
    tube = ("began", 1.0, {"class": "take", "tube": 0})
    events = {10: [tube], 20: [hit("began", 2.0, 2.0, 2.0), hit("ended", 2.0, 2.0, 2.0)]}
    clips, rows = play(tmp_path, events, clip_seconds=0.2)
    assert "clip" not in rows[0] and rows[1]["clip"] == "a-0002.mp4"
    assert clips["a-0001.mp4"].read_bytes() == b"earlier"
    assert numbers(clips["a-0002.mp4"]) == [18, 19, 20, 21, 22]


def test_a_clip_has_a_longest_length(tmp_path, monkeypatch):
    monkeypatch.setattr(hit_clips, "LONGEST_CLIP", 3.0)
    events = {20: [hit("began", 2.0, 2.0, 2.0)], 70: [hit("ended", 2.0, 6.5, 7.0)]}
    clips, rows = play(tmp_path, events, clip_seconds=1.0)
    assert numbers(clips["a-0001.mp4"]) == list(range(10, 41))
    assert "clip" in rows[0] and "clip" not in rows[1]


def frame(number, seconds, *, starts=False):
    return LiveFrame(numbered_frame(number), seconds, 0.0, number, starts)


def test_a_clip_does_not_go_on_over_a_new_connection(tmp_path):
    clips = HitClips(tmp_path, "a", around=1.0)
    for n in range(10):
        events = [hit("began", 0.5, 0.5, 0.5)] if n == 5 else []
        clips.take(events, numbered_frame(n), frame(n, n / 10, starts=n == 0))
    told = []
    for n in range(10, 20):  # the clock begins anew; the old hit ends, a new one begins
        both = [hit("ended", 0.5, 0.9, 0.9), hit("began", 0.0, 0.0, 0.0)] if n == 10 else []
        told += clips.take(both, numbered_frame(n), frame(n, n / 10 - 1, starts=n == 10))
    told += clips.finish([hit("ended", 0.0, 0.9, 0.9)])
    clips.close()
    assert [values["clip"] for _, _, values in told] == ["a-0001.mp4", *["a-0002.mp4"] * 2]
    assert numbers(tmp_path / "a-0001.mp4") == list(range(10))
    assert numbers(tmp_path / "a-0002.mp4") == list(range(10, 20))


def test_memory_is_bounded_and_what_is_left_out_is_told(tmp_path, monkeypatch):
    size = len(hit_clips.encode_jpeg(numbered_frame(0), hit_clips.QUALITY))
    monkeypatch.setattr(hit_clips, "MOST_BYTES", 12 * size)
    slow = hit_clips._Writer.write

    def write(self, picture):
        time.sleep(0.05)
        slow(self, picture)

    monkeypatch.setattr(hit_clips._Writer, "write", write)
    said = []
    clips = HitClips(tmp_path, "a", around=60.0, notify=said.append)
    for n in range(60):
        events = [hit("began", 2.0, 2.0, 2.0)] if n == 20 else []
        clips.take(events, numbered_frame(n), frame(n, n / 10, starts=n == 0))
        assert clips._kept_bytes <= 13 * size and clips._waiting <= 14 * size
    clips.close()
    assert said == ["a: clips are written too slowly; they lack pictures"]
    assert numbers(tmp_path / "a-0001.mp4")[0] in (8, 9, 10, 11)


def test_a_clip_that_cannot_be_written_ends_the_run_and_its_event_is_told(tmp_path, monkeypatch):
    def full(self, clip, began):
        raise UserError("the disk is full")

    monkeypatch.setattr(hit_clips._Writer, "__init__", full)
    with pytest.raises(UserError, match="the disk is full"):
        play(tmp_path, {5: [hit("began", 0.5, 0.5, 0.5)]})
    row = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[0])
    assert row["event"] == "began" and list((tmp_path / "clips").glob("*.mp4")) == []


def test_the_command(tmp_path, capsys):
    video = write_numbered(tmp_path / "counter.mp4", count=24, rate=24)
    path = save_small_checkpoint(tmp_path / "yolo.pt", "yolo")
    (tmp_path / "scene.yaml").write_text(SCENE)
    given = ["live", str(video), "--checkpoint", str(path), "--threshold", "0.0001"]
    given += ["--device", "cpu", "--clips", str(tmp_path / "hits")]
    assert main(given) == 2
    assert "--clips: expected --scene" in capsys.readouterr().err
    given += ["--scene", str(tmp_path / "scene.yaml"), "--events", str(tmp_path / "e.jsonl")]
    assert main([*given, "--clip-seconds", "-1"]) == 2
    assert "--clip-seconds: expected at least 0" in capsys.readouterr().err
    assert main(given) == 0
    rows = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    (name,) = {row["clip"] for row in rows if "rule" in row}
    assert len(open_video(tmp_path / "hits" / name)) == 24
