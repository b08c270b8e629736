"""`stad live` from end to end: the answers of a file, what is written, what is told."""

import functools
import http.server
import json
import os
import signal
import threading
import time

import av
import cv2
import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.datasets.footage.writer import VideoWriter
from stadet.tools.cli import main
from stadet.tools.inference.video_detector import open_detector
from stadet.tools.streams import live
from stadet.tools.streams.live import run_live
from stadet.tools.streams.session import LiveAnswer
from stadet.tools.streams.sessions import session_maker
from tests.datasets.live.streams import MjpegServer
from tests.datasets.numbered_videos import number_of, numbered_frame, write_numbered
from tests.tools.small_checkpoints import save_small_checkpoint


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("video") / "counter.mp4", count=24, rate=24)


def checkpoint(tmp_path, kind):
    return save_small_checkpoint(tmp_path / f"{kind}.pt", kind)


@pytest.mark.parametrize("kind", ["yolo", "recurrent-yolo", "yowo"])
def test_live_with_every_frame_answers_as_predict_on_the_file(tmp_path, video, kind):
    path = checkpoint(tmp_path, kind)
    found = []
    (report,) = run_live(
        [str(video)],
        session_maker(path, device="cpu"),
        on_answer=lambda name, frame, answer: found.append(answer.detections),
    )
    expected = list(open_detector(path, "cpu", score_floor=0.0)(video))
    assert len(found) == len(expected) == 24 == report.counts.received == report.answered
    assert report.counts.dropped == 0
    for given, whole in zip(found, expected, strict=True):
        np.testing.assert_allclose(given.boxes, whole.boxes, atol=1e-3)
        np.testing.assert_allclose(given.scores, whole.scores, atol=1e-5)
        assert given.seconds == pytest.approx(whole.seconds, abs=1e-6)
        assert given.frame == whole.frame


@pytest.mark.parametrize("kind", ["yolo", "recurrent-yolo", "yowo"])
def test_at_another_rate_live_answers_as_predict_on_the_file(tmp_path, video, kind):
    path = checkpoint(tmp_path, kind)
    found = {}
    run_live(
        [str(video)],
        session_maker(path, device="cpu", fps=12),
        on_answer=lambda name, frame, answer: found.update({frame.number: answer.detections}),
    )
    expected = list(open_detector(path, "cpu", score_floor=0.0, rate=12.0)(video))
    assert len(expected) == 24 and set(found) >= set(range(0, 24, 2))
    for number, given in found.items():
        np.testing.assert_allclose(given.boxes, expected[number].boxes, atol=1e-3)
        np.testing.assert_allclose(given.scores, expected[number].scores, atol=1e-5)


def test_the_command_records_and_tells(tmp_path, video, capfd):
    path = checkpoint(tmp_path, "yolo")
    folder, events = tmp_path / "recorded", tmp_path / "events.jsonl"
    arguments = ["--checkpoint", str(path), "--threshold", "0.0001", "--device", "cpu"]
    arguments += ["--record", str(folder), "--events", str(events), "--serve", "0"]
    assert main(["live", str(video), *arguments]) == 0
    recorded = open_video(folder / "counter.mp4")
    assert len(recorded) == 24
    np.testing.assert_allclose(recorded.timestamps, np.arange(24) / 24, atol=0.002)
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    assert rows and {row["event"] for row in rows} == {"began", "ended"}
    began = {row["tube"] for row in rows if row["event"] == "began"}
    ended = {row["tube"] for row in rows if row["event"] == "ended"}
    assert began == ended and all(row["stream"] == "counter" for row in rows)
    said = capfd.readouterr().err
    assert "live pictures: http://127.0.0.1:" in said
    assert "counter: 24 frames received, 24 answered, 0 dropped" in said


def test_a_second_recording_does_not_overwrite(tmp_path, video):
    path = checkpoint(tmp_path, "yolo")
    for _ in range(2):
        run_live([str(video)], session_maker(path, device="cpu"), record=tmp_path / "r")
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "counter.mp4",
        "counter_0001.mp4",
    ]


def test_two_sources_at_once(tmp_path, video):
    other = write_numbered(tmp_path / "side.mp4", count=10, rate=10)
    path = checkpoint(tmp_path, "recurrent-yolo")
    reports = run_live([str(video), str(other)], session_maker(path, device="cpu"))
    assert [(r.name, r.answered) for r in reports] == [("counter", 24), ("side", 10)]


def test_a_slow_model_drops_frames_of_a_camera_and_none_is_unaccounted_for(tmp_path):
    path = checkpoint(tmp_path, "yolo")
    images = [numbered_frame(n % 1000) for n in range(60)]
    server = MjpegServer(images, fps=60, per_connection=60)
    slow = session_maker(path, device="cpu")

    def make(name):
        session = slow(name)

        def answer(frame):
            time.sleep(0.05)
            return type(session).__call__(session, frame)

        class Slow:
            fps = None
            finish = session.finish

            def __call__(self, frame):
                return answer(frame)

        return Slow()

    try:
        (report,) = run_live([server.address], make, max_seconds=3.0)
    finally:
        server.close()
    counts = report.counts
    assert counts.received == counts.delivered + counts.dropped + counts.waiting
    assert counts.dropped > 10 and report.answered == counts.delivered
    assert report.latency.p50 < 1000


class Sleeper:
    """A session that takes `seconds` for a frame; there is evidence where `happening` says so."""

    fps = None

    def __init__(self, seconds, happening=lambda frame: False):
        self.seconds, self.happening = seconds, happening

    def __call__(self, frame):
        time.sleep(self.seconds(frame))
        return LiveAnswer(frame.image.copy(), happening=self.happening(frame))

    def finish(self, seconds):
        return []


def test_late_pictures_lower_the_pace_and_early_ones_raise_it(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.4)
    monkeypatch.setattr(live, "EASY_SECONDS", 0.5)
    video = write_numbered(tmp_path / "a.mp4", count=240, rate=40)
    slow = Sleeper(lambda frame: 0.12 if frame.seconds < 3 else 0.0)
    (report,) = run_live([str(video)], lambda name: slow, realtime=True, max_latency=60)
    said = capfd.readouterr().err
    assert "is above 60 ms; answering for one of 2 frames" in said
    assert said.index("is above 60 ms") < said.index("is well below 60 ms; answering for")
    assert report.counts.received == 240


def test_the_first_pictures_do_not_set_the_pace(tmp_path, capfd):
    """A model that is slow at its first frames only is not slow."""
    video = write_numbered(tmp_path / "a.mp4", count=60, rate=40)
    slow = Sleeper(lambda frame: 0.1 if frame.seconds < 0.5 else 0.0)
    run_live([str(video)], lambda name: slow, realtime=True, max_latency=60)
    assert "answering for" not in capfd.readouterr().err


def test_recording_evidence_only(tmp_path):
    """Evidence from 2 s to 3 s of 8: frames from 2 s to 5 s are kept, since 2 s follow it."""
    video = write_numbered(tmp_path / "a.mp4", count=80, rate=10)
    session = Sleeper(lambda frame: 0.0, lambda frame: 2.0 <= frame.seconds <= 3.0)
    run_live([str(video)], lambda name: session, record=tmp_path / "r", evidence_only=True)
    (path,) = (tmp_path / "r").iterdir()
    kept = open_video(path)
    assert len(kept) == 31 and kept.timestamps[-1] == pytest.approx(3.0, abs=0.01)
    first, last = (number_of(kept.frame(n)) for n in (0, 30))
    assert (first, last) == (20, 50)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing.mp4"], "found nothing there"),
        (["0", "--threshold", "2"], "--threshold: expected a score from 0 to 1"),
        (["0", "--fps", "fast"], "--fps: expected native or a number"),
        (["0", "--area", "0.5", "0", "0.4", "1"], "--area: expected X1 Y1 X2 Y2"),
        (["0", "--evidence-only"], "--evidence-only: expected --record"),
        (["0", "--events", "/dev/null/e.jsonl"], "a file is where a folder is needed"),
        (["0", "--record", "/dev/null/r"], "a file is where a folder is needed"),
        (["0", "--scene-cuts", "2"], "scene cut threshold: expected one in (0, 1]"),
        (["0", "--seconds", "-1"], "--seconds: expected above 0"),
        (["http://127.0.0.1:9/"], "expected a stream that opens"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capfd, arguments, line):
    path = checkpoint(tmp_path, "yolo")
    assert main(["live", *arguments, "--checkpoint", str(path), "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    assert line in said and said.count("\n") == 1


def test_a_file_without_a_frame_that_can_be_decoded_is_one_line(tmp_path, capfd):
    picture = tmp_path / "a.png"
    picture.write_bytes(cv2.imencode(".png", numbered_frame(3))[1].tobytes()[:-40])
    path = checkpoint(tmp_path, "yolo")
    assert main(["live", str(picture), "--checkpoint", str(path), "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "expected frames that can be decoded, found none" in said


@pytest.mark.parametrize("scene_cuts, starts", [(0.5, [0, 1, 4]), (None, [0])])
def test_a_scene_cut_starts_a_stream(tmp_path, scene_cuts, starts):
    with VideoWriter(tmp_path / "v.mp4", (48, 64), 24) as writer:
        for level in (220, 30, 30, 30, 220, 220):
            writer.write(np.full((48, 64, 3), level, np.uint8))
    started = []

    class Session:
        fps = None

        def __call__(self, frame):
            if frame.starts_stream:
                started.append(frame.number)

        def finish(self, seconds):
            return []

    run_live([str(tmp_path / "v.mp4")], lambda name: Session(), scene_cuts=scene_cuts)
    assert started == starts


def test_a_video_on_standard_input(tmp_path, start_stad):
    video = write_numbered(tmp_path / "v.mkv", count=12, rate=24)
    path, events = checkpoint(tmp_path, "yolo"), tmp_path / "events.jsonl"
    with open(video, "rb") as stream:
        process = start_stad(
            "live", "-", "--checkpoint", path, "--events", events, "--device", "cpu", stdin=stream
        )
        said = "".join(process.communicate(timeout=60))
    assert process.returncode == 0 and "12 frames received, 12 answered" in said, said


def test_a_playlist_over_http(tmp_path):
    folder = tmp_path / "hls"
    folder.mkdir()
    with av.open(str(folder / "v.m3u8"), "w", format="hls", options={"hls_list_size": "0"}) as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(0, 240, 10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stop, found = threading.Event(), []

        def answered(name, frame, answer):
            found.append(frame.number)
            if len(found) == 24:
                stop.set()

        run_live(
            [f"http://127.0.0.1:{server.server_address[1]}/v.m3u8"],
            session_maker(checkpoint(tmp_path, "yolo"), device="cpu"),
            every_frame=True,
            stop=stop,
            max_seconds=60,
            on_answer=answered,
        )
        server.shutdown()
    assert found == list(range(24))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_whole_files(tmp_path, start_stad, stop):
    video = write_numbered(tmp_path / "long.mp4", count=600, rate=25)
    path = checkpoint(tmp_path, "yolo")
    process = start_stad(
        "live",
        video,
        "--realtime",
        "--checkpoint",
        path,
        "--device",
        "cpu",
        "--record",
        tmp_path / "r",
        "--events",
        tmp_path / "e.jsonl",
        "--threshold",
        "0.0001",
    )
    while not (tmp_path / "e.jsonl").exists() or not (tmp_path / "e.jsonl").stat().st_size:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, stop)
    process.communicate(timeout=60)
    assert process.returncode == (130 if stop == signal.SIGINT else 0)
    assert len(open_video(tmp_path / "r" / "long.mp4")) > 5
    rows = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    began = [row["tube"] for row in rows if row["event"] == "began"]
    ended = [row["tube"] for row in rows if row["event"] == "ended"]
    assert sorted(began) == sorted(ended)
