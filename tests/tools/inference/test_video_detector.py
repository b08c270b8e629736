"""One detector by every door: paths, arrays, iterators, single frames and `stad predict`."""

import copy
import itertools
import json
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from stadet.datasets.footage.video import open_video
from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import DetectionsWriter
from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.inference import video_detector
from tests.datasets.numbered_videos import write_numbered
from tests.tools.small_checkpoints import NAMES, SIZE, save_small_checkpoint

KINDS = ("yolo", "recurrent-yolo", "stacked-yolo", "yowo")
COUNT = 21  # no multiple of the window


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {kind: save_small_checkpoint(folder / f"{kind}.pt", kind) for kind in KINDS}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two videos in a folder; the second at a variable rate."""
    folder = tmp_path_factory.mktemp("footage")
    write_numbered(folder / "even.mp4", count=COUNT, rate=Fraction(25))
    ticks = np.cumsum([0, *itertools.islice(itertools.cycle([3600, 7200]), COUNT - 1)]).tolist()
    write_numbered(folder / "uneven.mp4", count=COUNT, pts=ticks)
    return folder


def open_detector(path, device=None, **options):
    """Opened so that everything counts: these networks have learnt nothing."""
    return video_detector.open_detector(path, device, **{"score_floor": 0.0, **options})


def same(found, wanted, exact=True):
    found, wanted = list(found), list(wanted)
    assert [d.frame for d in found] == [d.frame for d in wanted]
    assert sum(map(len, wanted)) > 0
    for a, b in zip(found, wanted, strict=True):
        for key in ("boxes", "objectness", "scores"):
            tolerance = 0 if exact else 1e-4
            np.testing.assert_allclose(getattr(a, key), getattr(b, key), atol=tolerance, rtol=0)


def rows_of(path):
    """Rows of boxes in a detections file."""
    return [line for line in path.read_text().splitlines() if '"bbox"' in line]


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_gives_what_stad_predict_writes(checkpoints, footage, tmp_path, kind):
    out, again = tmp_path / "predict.jsonl", tmp_path / "python.jsonl"
    command = ["predict", str(footage), "--checkpoint", str(checkpoints[kind]), "--out", str(out)]
    assert main([*command, "--device", "cpu", "--for-evaluation"]) == 0
    detector = open_detector(checkpoints[kind], "cpu")
    with DetectionsWriter(again, detector.names, detector.score_floor) as writer:
        for found in detector(footage):
            writer.write(found.video, found.frame, found)
    assert rows_of(again) == rows_of(out)
    assert {json.loads(row)["video"] for row in rows_of(out)} == {"even", "uneven"}
    assert len({json.loads(row)["frame"] for row in rows_of(out)}) == COUNT


def test_the_floor_is_that_of_stad_predict(footage, tmp_path):
    path = save_small_checkpoint(tmp_path / "a.pt", "yolo", threshold=0.02)
    out = tmp_path / "d.jsonl"
    assert main(["predict", str(footage), "--checkpoint", str(path), "--out", str(out)]) == 0
    detector = video_detector.open_detector(path, "cpu")
    assert detector.score_floor == read_detections(out).score_floor == 0.01
    kept = sum(len(found) for found in detector(footage))
    every = sum(len(found) for found in open_detector(path, "cpu")(footage))
    assert 0 < kept == len(rows_of(out)) < every


@pytest.mark.parametrize("kind", KINDS)
def test_every_door_leads_to_the_same_detections(checkpoints, footage, kind):
    detector = open_detector(checkpoints[kind], "cpu")
    video = open_video(footage / "even.mp4")
    wanted = list(detector(footage / "even.mp4"))
    images = [image for _, image in video.frames()]
    assert [d.frame for d in wanted] == list(range(COUNT))
    same(detector(video), wanted)
    same(detector(np.stack(images)), wanted)
    same(detector(images), wanted)
    same(detector(iter(images)), wanted)
    same(detector((image[..., ::-1] for image in images), channels="bgr"), wanted)
    same(itertools.islice(detector(footage), COUNT), wanted)
    same(detector([footage / "even.mp4"]), wanted)
    same(detector(footage / "even.mp4", max_frames=5), wanted[:5])
    stream = detector.stream()
    for _ in range(2):  # the second time after a reset
        same((stream(image) for image in images), wanted, exact=False)
        stream.reset()
    same([detector.image(images[0])], wanted[:1], exact=False)
    one = detector.stream(channels="bgr")
    same([one(images[0][..., ::-1])], wanted[:1], exact=False)


def test_detections_say_where_and_when(checkpoints, footage):
    detector = open_detector(checkpoints["yolo"], "cpu")
    assert detector.names == NAMES and detector.size == SIZE and detector.threshold is None
    assert repr(detector).endswith("yolo, 2 classes (pick up, put back), input 64x32, cpu)")
    for path in sorted(footage.glob("*.mp4")):
        times = open_video(path).timestamps
        found = list(detector(path))
        assert [d.seconds for d in found] == times.tolist()
        assert {(d.video, d.names) for d in found} == {(path.stem, NAMES)}
    images = np.zeros((3, 20, 30, 3), dtype=np.uint8)
    assert [d.seconds for d in detector(images)] == [None] * 3
    assert [d.seconds for d in detector(images, fps=4)] == [0, 0.25, 0.5]
    times = [7.5, 8.0, 11.25]
    assert [d.seconds for d in detector(list(images), timestamps=iter(times))] == times
    stream = detector.stream(fps=4)
    assert [stream(images[0]).seconds, stream(images[0], seconds=9).seconds] == [0, 9]
    assert [d.frame for d in detector(images[0])] == [0]


def test_a_frame_folder_takes_a_rate(checkpoints, footage, tmp_path):
    detector = open_detector(checkpoints["yolo"], "cpu")
    video = open_video(footage / "even.mp4")
    for index, image in video.frames(stop=3):
        cv2.imwrite(str(tmp_path / f"{index:05d}.png"), image[..., ::-1])
    same(detector(tmp_path, fps=10), itertools.islice(detector(video), 3))
    assert [d.seconds for d in detector(tmp_path, fps=10)] == [0, 0.1, 0.2]


@pytest.mark.parametrize("live", [False, True])
def test_a_threshold_keeps_pairs_at_or_above_it(checkpoints, footage, live):
    detector = open_detector(checkpoints["yolo"], "cpu")
    images = [image for _, image in open_video(footage / "even.mp4").frames()]
    everything = np.concatenate([d.scores.ravel() for d in detector(images)])
    threshold = float(np.median(everything[everything > 0]))
    stream = detector.stream(threshold=threshold)
    found = map(stream, images) if live else detector(images, threshold=threshold)
    kept = np.concatenate([d.scores[d.scores > 0] for d in found])
    np.testing.assert_allclose(
        np.sort(kept), np.sort(everything[everything >= threshold]), atol=1e-6
    )


def test_frames_are_taken_as_they_are_needed_and_let_go(checkpoints):
    """An endless source: what is alive at once does not grow with what has been seen."""
    detector = open_detector(checkpoints["recurrent-yolo"], "cpu", window=2)
    alive = []

    def camera():
        for number in itertools.count():
            image = np.full((32, 64, 3), number % 256, dtype=np.uint8)
            alive.append(weakref.ref(image))
            yield image

    answers = detector(camera(), fps=25)
    most = 0
    for found in itertools.islice(answers, 60):
        assert len(alive) <= found.frame + 1 + 12  # two windows ahead, one in the network
        most = max(most, sum(reference() is not None for reference in alive))
    answers.close()
    assert most <= 12


def test_streams_do_not_share_a_memory(checkpoints, footage):
    detector = open_detector(checkpoints["recurrent-yolo"], "cpu")
    images = [image for _, image in open_video(footage / "even.mp4").frames()]
    wanted = list(detector(images))
    one, other = detector.stream(), detector.stream()
    pairs = [(one(image), other(turned)) for image, turned in zip(images, images[::-1])]  # noqa: B905
    same([a for a, _ in pairs], wanted, exact=False)
    same([b for _, b in pairs], detector(images[::-1]), exact=False)


IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("absent.mp4", {}, r"absent\.mp4: expected a video or a folder"),
        (IMAGE[..., 0], {}, r"frame 0: expected an array \(H, W, 3\) of uint8, found uint8 \(20"),
        (IMAGE / 255, {}, r"frame 0: .*found float64 \(20, 30, 3\)"),
        ([IMAGE, IMAGE[:10]], {}, "frame 1: expected 30x20 pixels as before, found 30x10"),
        ([IMAGE, None], {}, "frame 1: expected an array .*NoneType"),
        (5, {}, "expected footage, found int"),
        ([], {}, "expected footage, found an empty list"),
        ([IMAGE] * 2, {"timestamps": [1]}, "expected one for each frame, found only 1"),
        ([IMAGE] * 2, {"timestamps": [1, 1]}, r"expected increasing seconds, found 1 for frame 1"),
        ([IMAGE], {"timestamps": [1], "fps": 2}, "expected fps or timestamps, found both"),
        ([IMAGE], {"fps": 0}, "fps: expected a number above 0, found 0"),
        ([IMAGE], {"channels": "gbr"}, 'expected "rgb" or "bgr", found \'gbr\''),
        ([IMAGE], {"threshold": 50}, "threshold: expected one from 0 to 1, found 50"),
        ([IMAGE], {"max_frames": 0}, "max_frames: expected at least 1, found 0"),
        ([IMAGE.transpose(2, 0, 1)], {}, r"image.transpose\(1, 2, 0\) puts the colours last"),
        ([IMAGE / 255], {}, r"found float64 .*; of values from 0 to 1 \(image \* 255\)"),
        (["a.mp4", IMAGE], {}, "expected paths after a.mp4, found ndarray"),
        ("{video}", {"fps": 2}, "expected no fps with a video file"),
        ("{video}", {"timestamps": [2]}, "expected only with arrays of frames, found a path"),
    ],
)
def test_what_cannot_be_used_is_one_line(checkpoints, footage, source, options, message):
    detector = open_detector(checkpoints["yolo"], "cpu")
    if isinstance(source, str) and source == "{video}":
        source = footage / "even.mp4"
    with pytest.raises(UserError, match=message):
        list(detector(source, **options))


def test_a_stream_goes_on_after_a_bad_frame(checkpoints):
    stream = open_detector(checkpoints["recurrent-yolo"], "cpu").stream()
    assert stream(IMAGE).frame == 0
    with pytest.raises(UserError, match="frame 1: expected 30x20 pixels"):
        stream(IMAGE[:10])
    assert stream(IMAGE).frame == 1
    stream.reset()
    assert stream(IMAGE[:10]).frame == 0


def test_a_stream_refuses_a_time_before_it_counts_the_frame(checkpoints):
    stream = open_detector(checkpoints["recurrent-yolo"], "cpu").stream()
    assert stream(IMAGE, seconds=0.5).frame == 0
    for seconds, message in ((0.4, "increasing seconds, found 0.4"), (float("nan"), "found nan")):
        with pytest.raises(UserError, match=f"frame 1: expected {message}|frame 1: .*{message}"):
            stream(IMAGE, seconds=seconds)
    assert stream(IMAGE, seconds=0.6).frame == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "torch"}, "runtime: expected one of eager, .*, found 'torch'"),
        ({"precision": "fp16"}, "precision: expected one of fp32, bf16, found 'fp16'"),
        ({"tiles": (0, 2)}, "--tiles: expected rows and columns of at least 1"),
        ({"device": "cuda:99"}, "--device: expected one of cpu"),
    ],
)
def test_options_are_checked_when_a_detector_opens(checkpoints, options, message):
    with pytest.raises(UserError, match=message):
        open_detector(checkpoints["yolo"], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiles": 2}, r"tiles: expected tuple\[int, int\] .*, found int '2'"),
        ({"window": 2.5}, r"window: expected int.*, found float '2\.5'"),
    ],
)
def test_options_of_another_kind_are_told(checkpoints, options, message):
    with pytest.raises(TypeError, match=message):
        open_detector(checkpoints["yolo"], **options)


@pytest.mark.parametrize(("name", "value"), [("threshold", 4), ("fps", -1), ("channels", "xyz")])
def test_options_are_checked_when_a_stream_begins(checkpoints, name, value):
    with pytest.raises(UserError, match=f"{name}: expected"):
        open_detector(checkpoints["yolo"], "cpu").stream(**{name: value})


def test_pictures_and_tensors_are_frames(checkpoints):
    detector = open_detector(checkpoints["yolo"], torch.device("cpu"))
    wanted = list(detector([IMAGE]))
    same(detector([PIL.Image.fromarray(IMAGE)]), wanted)
    same(detector([torch.from_numpy(IMAGE)]), wanted)
    same(detector([np.asfortranarray(IMAGE)]), wanted)


def test_an_opened_detector_leaves_a_program_as_it_was(checkpoints):
    """Random numbers, default type and default device of torch: neither changed nor heeded."""
    before, wanted = torch.get_rng_state(), list(open_detector(checkpoints["yolo"])([IMAGE]))
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.inference_mode():
            detector = open_detector(checkpoints["yolo"], "cpu")
        same(detector([IMAGE]), wanted)
        assert torch.get_default_dtype() == torch.float64 and torch.empty(1).is_meta
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def test_copies_answer_alike(checkpoints, footage):
    detector = open_detector(checkpoints["recurrent-yolo"], "cpu")
    wanted = list(detector(footage / "even.mp4"))
    for copied in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        same(copied(footage / "even.mp4"), wanted)


def test_threads_do_not_share_a_memory(checkpoints, footage):
    detector = open_detector(checkpoints["recurrent-yolo"], "cpu")
    wanted = list(detector(footage / "even.mp4"))
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: list(detector(footage / "even.mp4")), range(2)):
            same(found, wanted)


def test_an_exported_file_opens_by_itself(checkpoints, footage, tmp_path):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "a.onnx"
    assert main(["export", "--checkpoint", str(checkpoints["yolo"]), "--out", str(out)]) == 0
    exported, plain = open_detector(out), open_detector(checkpoints["yolo"], "cpu")
    assert exported.names == plain.names and str(exported.device) == "cpu"
    for a, b in zip(exported(footage / "even.mp4"), plain(footage / "even.mp4"), strict=True):
        np.testing.assert_allclose(np.sort(a.top_score), np.sort(b.top_score), atol=1e-4)


def test_what_needs_later_frames_is_no_stream(checkpoints, footage):
    detector = open_detector(checkpoints["yowo"], "cpu", feature_bank=True)
    assert len(list(detector(footage / "even.mp4"))) == COUNT
    with pytest.raises(UserError, match="needs later frames before it answers"):
        detector.stream()


def test_detections_can_be_read_back(checkpoints, footage, tmp_path):
    detector = open_detector(checkpoints["yolo"], "cpu")
    with DetectionsWriter(tmp_path / "d.jsonl", detector.names) as writer:
        for found in detector(footage / "even.mp4"):
            writer.write(found.video, found.frame, found)
    (video,) = read_detections(tmp_path / "d.jsonl")
    for found in detector(footage / "even.mp4"):
        np.testing.assert_allclose(video[found.frame].boxes, found.boxes, atol=0.01)
