"""Frames accounted for, newest first, connections made again."""

import time

import numpy as np
import pytest

from stadet.datasets.live import reader as reader_module
from stadet.datasets.live.reader import StreamReader
from stadet.datasets.live.source import SourceKind, StreamSource, parse_source
from stadet.engine.errors import UserError
from tests.datasets.live.streams import MjpegServer, ScriptedCapture
from tests.datasets.numbered_videos import number_of, numbered_frame, write_numbered

SOURCE = StreamSource(SourceKind.RTSP, "rtsp://u:p@host/x", "host_x")


def frames(count, start=0, fps=10.0, size=(64, 160)):
    return [(numbered_frame(start + n, size), n / fps) for n in range(count)]


def scripted(*captures, **options):
    remaining = list(captures)

    def open_capture(source):
        found = remaining.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return StreamReader(SOURCE, open_capture=open_capture, **options)


def accounted(counts):
    return counts.delivered + counts.dropped + counts.waiting == counts.received


def test_every_frame_of_a_file_in_order(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", count=60, rate=30)
    with StreamReader(parse_source(str(path))) as reader:
        found = []
        for frame in reader:
            time.sleep(0.001)  # a consumer slower than the decoder loses nothing
            found.append((number_of(frame.image), frame.seconds, frame.starts_stream))
        counts = reader.counts
    assert [number for number, *_ in found] == list(range(60))
    np.testing.assert_allclose([seconds for _, seconds, _ in found], np.arange(60) / 30, atol=1e-4)
    assert [starts for *_, starts in found] == [True] + [False] * 59
    assert counts.received == counts.delivered == 60 and counts.dropped == 0


def test_a_file_in_real_time_takes_its_time_and_every_frame_is_accounted_for(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", count=30, rate=30)
    started = time.monotonic()
    with StreamReader(parse_source(str(path)), realtime=True) as reader:
        numbers = []
        for frame in reader:
            numbers.append(frame.number)
            assert number_of(frame.image) == frame.number
            time.sleep(0.1)  # three frames pass meanwhile
        counts = reader.counts
    assert time.monotonic() - started >= 29 / 30
    assert numbers == sorted(set(numbers)) and numbers[-1] == 29
    assert counts.received == 30 and counts.waiting == 0 and counts.dropped > 10
    assert accounted(counts) and counts.delivered == len(numbers)


def test_a_slow_consumer_of_a_live_source_gets_the_newest(monkeypatch):
    with scripted(ScriptedCapture(frames(20), pause=0.01)) as reader:
        assert number_of(reader.next_frame().image) == 0
        time.sleep(0.5)
        frame = reader.next_frame()
        assert number_of(frame.image) == frame.number == 19
        counts = reader.counts
    assert (counts.received, counts.delivered, counts.dropped) == (20, 2, 18)


def test_a_dropped_start_is_the_next_frames_start():
    with scripted(ScriptedCapture(frames(5), pause=0.01)) as reader:
        time.sleep(0.4)
        frame = reader.next_frame()
    assert frame.number == 4 and frame.starts_stream


def test_reconnecting(monkeypatch):
    monkeypatch.setattr(reader_module, "FIRST_PAUSE", 0.02)
    lines = []
    captures = [
        ScriptedCapture(frames(3), pause=0.01),
        UserError("not there"),
        UserError("not there"),
        ScriptedCapture(frames(3, start=3), pause=0.01),
    ]
    begun = time.monotonic()
    with scripted(*captures, every_frame=True, notify=lines.append) as reader:
        found = [reader.next_frame() for _ in range(6)]
        counts = reader.counts
    whole = time.monotonic() - begun
    assert [number_of(frame.image) for frame in found] == list(range(6))
    assert [frame.starts_stream for frame in found] == [True, False, False, True, False, False]
    seconds = np.array([frame.seconds for frame in found])
    assert (np.diff(seconds) > 0).all()
    # the outage passed on the clock: 0.02 + 0.04 + 0.08 s of pauses, and what else took time
    assert 0.14 <= seconds[3] - seconds[2] < whole + 0.1
    assert counts.reconnections == 1 and captures[0].closed
    assert "connection lost (cable pulled)" in lines[0] and "u:p" not in " ".join(lines)
    assert any("connected again" in line for line in lines)


def test_an_outage_that_is_too_long_ends_in_words(monkeypatch):
    monkeypatch.setattr(reader_module, "FIRST_PAUSE", 0.01)
    captures = [ScriptedCapture(frames(1)), *[UserError("refused")] * 20]
    with scripted(*captures, max_outage=0.05) as reader:
        reader.next_frame()
        with pytest.raises(UserError, match=r"no connection for .* refused"):
            reader.next_frame(timeout=10)


@pytest.mark.parametrize("change", ["gap", "size"])
def test_a_gap_or_another_size_starts_a_stream(change):
    later = frames(2, start=2, size=(64, 176) if change == "size" else (64, 160))
    shift = 5.0 if change == "gap" else 0.2
    script = frames(2) + [(image, seconds + shift) for image, seconds in later]
    with scripted(ScriptedCapture(script), every_frame=True) as reader:
        starts = [reader.next_frame().starts_stream for _ in range(4)]
    assert starts == [True, False, True, False]


def test_a_clock_that_is_set_back_is_told_and_time_goes_on():
    said = []
    script = frames(3) + [(image, seconds - 3600) for image, seconds in frames(3, start=3)]
    capture = ScriptedCapture(script, pause=0.02)
    with scripted(capture, every_frame=True, notify=said.append) as reader:
        found = [reader.next_frame(timeout=10) for _ in range(6)]
    times = np.array([frame.seconds for frame in found])
    assert (np.diff(times) > 0).all() and times[-1] < 2
    assert sum("set back by 3600" in line for line in said) == 1
    assert [frame.starts_stream for frame in found] == [True] + [False] * 5


def test_closing_while_the_thread_waits_for_the_consumer():
    reader = scripted(ScriptedCapture(frames(50)), every_frame=True)
    with reader:
        reader.next_frame()
    counts = reader.counts
    assert accounted(counts) and counts.received < 50


def test_multipart_jpeg_over_http_with_the_connection_cut(monkeypatch):
    monkeypatch.setattr(reader_module, "FIRST_PAUSE", 0.05)
    images = [numbered_frame(n) for n in range(24)]
    server = MjpegServer(images, fps=50, per_connection=8)
    try:
        with StreamReader(parse_source(server.address), every_frame=True) as reader:
            found = [reader.next_frame(timeout=30) for _ in range(20)]
            counts = reader.counts
    finally:
        server.close()
    numbers = [number_of(frame.image) for frame in found]
    assert numbers == sorted(set(numbers)) and len(numbers) == 20
    assert counts.reconnections >= 2
    starts = [n for n, frame in zip(numbers, found, strict=True) if frame.starts_stream]
    assert starts[0] == 0 and len(starts) == 1 + counts.reconnections
    assert (np.diff([frame.seconds for frame in found]) >= 0).all()
    # by arrival, not by a guessed rate of 25 a second
    assert found[7].seconds - found[0].seconds < 7 / 25


def test_nothing_there_is_one_line():
    with pytest.raises(UserError, match="expected a stream that opens") as caught:
        StreamReader(parse_source("http://127.0.0.1:9/")).__enter__()
    assert "\n" not in str(caught.value)


def test_a_text_file_is_one_line(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("no video")
    with pytest.raises(UserError, match="expected a stream that opens"):
        StreamReader(parse_source(str(path))).__enter__()


def test_connections_that_are_over_leave_nothing_in_memory(monkeypatch):
    import gc

    from av.container import InputContainer

    monkeypatch.setattr(reader_module, "FIRST_PAUSE", 0.01)
    server = MjpegServer([numbered_frame(n) for n in range(90)], fps=500, per_connection=10)
    try:
        with StreamReader(parse_source(server.address)) as reader:
            while reader.counts.reconnections < 6:
                reader.next_frame(timeout=20)
            open_now = sum(type(found) is InputContainer for found in gc.get_objects())
    finally:
        server.close()
    assert open_now <= 2  # the present one, and another that has just broken off


def test_damaged_parts_of_a_jpeg_camera_cost_themselves_only(monkeypatch):
    """Noise, halves, flipped bytes, grey pictures, other sizes and a huge one between good ones."""
    import cv2

    monkeypatch.setattr(reader_module, "FIRST_PAUSE", 0.05)
    rng = np.random.default_rng(0)
    good = cv2.imencode(".jpg", numbered_frame(7)[..., ::-1])[1].tobytes()
    flipped = bytearray(good)
    for place in rng.integers(2, len(good), 60):
        flipped[place] = rng.integers(0, 256)
    bad = [
        rng.integers(0, 256, 3000).astype(np.uint8).tobytes(),
        good[: len(good) // 2],
        bytes(flipped),
        cv2.imencode(".jpg", np.zeros((64, 160), np.uint8))[1].tobytes(),
        cv2.imencode(".jpg", np.zeros((96, 128, 3), np.uint8))[1].tobytes(),
        cv2.imencode(".jpg", np.zeros((8000, 8000, 3), np.uint8))[1].tobytes(),
        b"",
    ]
    parts = [good] * 4
    for part in bad:
        parts += [part, good, good]
    server = MjpegServer(parts * 2, fps=50, per_connection=2 * len(parts))
    try:
        with StreamReader(parse_source(server.address), every_frame=True) as reader:
            found = []
            while len(found) < 20:
                found.append(reader.next_frame(timeout=30))
            counts = reader.counts
    finally:
        server.close()
    sizes = {frame.image.shape for frame in found}
    assert (64, 160, 3) in sizes and sizes <= {(64, 160, 3), (96, 128, 3)}
    assert sum(number_of(frame.image) == 7 for frame in found if frame.image.shape[0] == 64) >= 10
    assert counts.damaged >= 1
    other = [n for n, frame in enumerate(found) if frame.image.shape != (64, 160, 3)]
    assert all(found[n].starts_stream for n in other)
