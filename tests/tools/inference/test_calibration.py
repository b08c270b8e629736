from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.footage.video import open_video
from stadet.datasets.footage.writer import VideoWriter
from stadet.detect.view import View
from stadet.tools.inference.calibration import STREAM_FRAMES, calibration_feeds, spread
from stadet.tools.inference.exported import export_detector
from stadet.tools.inference.runtimes import RuntimeOptions, open_for_runtime
from tests.tools.small_checkpoints import SIZE, save_small_checkpoint

pytest.importorskip("onnxruntime")


@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 40))
def test_places_are_even_and_in_order(lengths, count):
    videos = {f"v{n}": length for n, length in enumerate(lengths)}
    every = [(name, frame) for name, length in videos.items() for frame in range(length)]
    found = spread(videos, count)
    assert len(found) == min(count, len(every))
    places = [every.index(place) for place in found]
    gaps = np.diff([-1, *places, len(every)]) if places else np.array([])
    assert sorted(set(places)) == places
    if len(places) > 1:
        assert gaps[1:-1].max() - gaps[1:-1].min() <= 1
        assert abs(gaps[0] - gaps[-1]) <= 1  # as much before the first as after the last


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("footage"), np.random.default_rng(0)
    for name, count in (("a", 25), ("b", 6)):
        with VideoWriter(folder / f"{name}.mp4", SIZE, 25) as writer:
            for _ in range(count):
                writer.write(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    return {name: folder / f"{name}.mp4" for name in "ab"}


def opened(tmp_path, kind, **settings):
    detector = open_for_runtime(save_small_checkpoint(tmp_path / "best.pt", kind), RuntimeOptions())
    for name, value in settings.items():
        setattr(detector.model, name, value)
    return detector


def seen(path, frames, resize="stretch"):
    """(N, 3, H, W) as the network sees them, each frame asked for by itself."""
    video = open_video(path)
    view = View.fit(video.size, SIZE, resize)
    return np.stack([view.apply(video.frame(f)).transpose(2, 0, 1) for f in frames])


def test_a_frame_detector_sees_frames(tmp_path, videos):
    detector = opened(tmp_path, "yolo")
    feeds = list(calibration_feeds(export_detector(detector), detector.config.data, videos, 4))
    expected = [("a", 3), ("a", 11), ("a", 19), ("b", 2)]  # of 31 frames
    assert spread({"a": 25, "b": 6}, 4) == expected
    for feed, (name, frame) in zip(feeds, expected, strict=True):
        assert np.array_equal(feed["frames"], seen(videos[name], [frame]))


def test_a_key_frame_detector_sees_the_clips_that_end_there(tmp_path, videos):
    detector = opened(tmp_path, "yowo", clip_step=2)
    feeds = list(calibration_feeds(export_detector(detector), detector.config.data, videos, 4))
    assert len(feeds) == 4
    for feed, (name, frame) in zip(feeds, spread({"a": 25, "b": 6}, 4), strict=True):
        frames = [max(0, frame - 2 * n) for n in reversed(range(8))]
        assert np.array_equal(feed["frames"][0], seen(videos[name], frames))


def test_a_fixed_batch_is_filled_up(tmp_path, videos):
    detector = opened(tmp_path, "yowo")
    content = export_detector(detector, 3)
    (feed,) = calibration_feeds(content, detector.config.data, videos, 1)
    assert feed["frames"].shape == (3, 8, 3, *SIZE)


@pytest.mark.parametrize("kind", ["recurrent-yolo", "stacked-yolo"])
def test_all_lanes_of_a_state_see_the_stretch(kind, tmp_path, videos):
    detector = opened(tmp_path, kind)
    content = export_detector(detector, 3)
    feeds = list(calibration_feeds(content, detector.config.data, videos, 1))
    assert len(feeds) == STREAM_FRAMES
    for feed in feeds:
        assert all(len(array) == 3 and (array == array[:1]).all() for array in feed.values())


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_frames_are_fitted_as_in_use(resize, tmp_path):
    path, rng = tmp_path / "tall.mp4", np.random.default_rng(0)
    with VideoWriter(path, (96, 64), 25) as writer:
        writer.write(rng.integers(0, 256, (96, 64, 3), dtype=np.uint8))
    detector = opened(tmp_path, "yolo")
    data = replace(detector.config.data, resize=resize)
    (feed,) = calibration_feeds(export_detector(detector), data, {"tall": path}, 3)
    assert np.array_equal(feed["frames"], seen(path, [0], resize))


def test_damage_in_the_footage_is_told(tmp_path, videos, caplog):
    whole = videos["a"].read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    notes = open_video(path).notes
    detector = opened(tmp_path, "yolo")
    data = detector.config.data
    assert notes and len(list(calibration_feeds(export_detector(detector), data, {"cut": path}, 2)))
    assert all(f"cut: {note}" in caplog.messages for note in notes)


def test_a_detector_with_a_state_sees_the_states_it_comes_to(tmp_path, videos):
    detector = opened(tmp_path, "recurrent-yolo")
    feeds = list(calibration_feeds(export_detector(detector), detector.config.data, videos, 1))
    ((name, frame),) = spread({"a": 25, "b": 6}, 1)
    frames = range(max(0, frame + 1 - STREAM_FRAMES), frame + 1)
    images = seen(videos[name], frames)
    assert len(feeds) == len(images) and all(
        np.array_equal(feed["frames"][0], image) for feed, image in zip(feeds, images, strict=True)
    )
    states = [key for key in feeds[0] if key.startswith("state.")]
    assert states and not any(feeds[0][key].any() for key in states)
    from stadet.tools.inference.exported import session_detector

    session = session_detector(export_detector(detector), "onnx")
    window = torch.from_numpy(images[:-1])[None]
    _, after = session(window)
    for key in states:
        np.testing.assert_allclose(feeds[-1][key], after[key], rtol=1e-5, atol=1e-6)
