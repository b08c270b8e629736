"""A detector that knows the rate of its training, on footage of other rates, by every route."""

import csv
import json
from fractions import Fraction

import numpy as np
import pytest
import yaml

from stadet.datasets.clips.resample import resample
from stadet.datasets.clips.timing import Timing
from stadet.datasets.footage.video import open_video
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.clock import Clock
from stadet.detect.detections.reader import read_detections
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector as read_checkpoint
from stadet.tools.inference.video_detector import open_detector
from tests.datasets.numbered_videos import numbered_frame, write_numbered
from tests.tools.small_checkpoints import NAMES, SIZE, save_small_checkpoint

KINDS = ("recurrent-yolo", "stacked-yolo", "yowo")
COUNT = 30
FRAMES_30 = np.stack([numbered_frame(number, SIZE) for number in range(COUNT)])
FRAMES_15 = FRAMES_30[::2]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    timing = Timing(15.0, 1, {"15": 60.0})
    return {kind: save_small_checkpoint(folder / f"{kind}.pt", kind, timing) for kind in KINDS}


def differ(one, other, tolerance=0.0):
    return len(one) != len(other) or np.abs(one.scores - other.scores).max() > tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_moments_have_the_same_answers_at_twice_the_rate(checkpoints, kind):
    detector = open_detector(checkpoints[kind], "cpu", score_floor=0)
    wanted = list(detector(FRAMES_15, fps=15))
    found = list(detector(FRAMES_30, fps=30))
    assert [d.frame for d in found] == list(range(COUNT))
    assert found[5].seconds == pytest.approx(5 / 30)
    for number, answer in enumerate(wanted):
        assert not differ(found[2 * number], answer)
        if kind != "yowo":  # a key-frame detector answers for each frame with its own clip
            assert not differ(found[2 * number + 1], answer)
    native = list(
        open_detector(checkpoints[kind], "cpu", score_floor=0, rate="native")(FRAMES_30, fps=30)
    )
    assert any(differ(a, b) for a, b in zip(native, found, strict=True))
    asked = list(open_detector(checkpoints[kind], "cpu", score_floor=0, rate=30)(FRAMES_30, fps=30))
    assert not any(differ(a, b) for a, b in zip(native, asked, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_were_lost_are_not_missed_in_time(checkpoints, kind):
    """Every tick of 15 a second still has its frame, whichever others are lost."""
    rng = np.random.default_rng(0)
    kept = np.flatnonzero((np.arange(COUNT) % 2 == 0) | (rng.random(COUNT) < 0.4))
    detector = open_detector(checkpoints[kind], "cpu", score_floor=0)
    wanted = list(detector(FRAMES_15, fps=15))
    found = list(detector(FRAMES_30[kept], timestamps=kept / 30))
    for answer, frame in zip(found, kept.tolist(), strict=True):
        if frame % 2 == 0:
            assert not differ(answer, wanted[frame // 2])


@pytest.mark.parametrize("kind", KINDS)
def test_single_frames_as_they_come_have_the_same_answers(checkpoints, kind):
    detector = open_detector(checkpoints[kind], "cpu", score_floor=0)
    gaps = np.random.default_rng(1).choice([1 / 60, 1 / 30, 1 / 10], COUNT - 1)
    times = np.cumsum([0, *gaps])
    wanted = list(detector(FRAMES_30, timestamps=times))
    stream = detector.stream()
    for number in range(COUNT):
        found = stream(FRAMES_30[number], seconds=times[number])
        assert found.frame == number and found.seconds == times[number]
        assert not differ(found, wanted[number], 1e-4)


@pytest.fixture(scope="module")
def test_set(tmp_path_factory):
    """Three videos of one content: at 15, at 30 and at a variable rate; all on the test side."""
    folder = tmp_path_factory.mktemp("rates")
    (folder / "videos").mkdir()
    ticks = np.cumsum([0, *np.random.default_rng(2).choice([1500, 3000, 9000], COUNT - 1)])
    write_numbered(folder / "videos" / "fast.mp4", count=COUNT, rate=30, size=SIZE)
    write_numbered(folder / "videos" / "trained.mp4", count=COUNT, rate=15, size=SIZE)
    write_numbered(folder / "videos" / "uneven.mp4", count=COUNT, pts=ticks.tolist(), size=SIZE)
    boxes = np.tile((8.0, 4.0, 28.0, 28.0), (COUNT, 1))
    labels = np.eye(2)[np.arange(COUNT) // 10 % 2]
    truth = {
        name: VideoAnnotations.build(
            name, SIZE, 30.0, np.ones(COUNT), np.arange(COUNT), boxes, labels
        )
        for name in ("fast", "trained", "uneven")
    }
    write_coco_video(folder / "truth.json", AnnotationSet(NAMES, truth))
    content = {
        "format": "coco-video",
        "annotations": "truth.json",
        "split": {"method": "lists", "lists": {"test": list(truth)}},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize("fps", [None, "native", "10"])
@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_answers_as_predict_does(checkpoints, test_set, tmp_path, kind, fps, capsys):
    rate = [] if fps is None else ["--fps", fps]
    checkpoint = ["--checkpoint", str(checkpoints[kind]), *rate]
    one, other = tmp_path / "predict.jsonl", tmp_path / "report"
    videos = str(test_set / "videos")
    predict = ["predict", videos, *checkpoint, "--score-floor", "0", "--device", "cpu"]
    assert main([*predict, "--out", str(one)]) == 0
    told = capsys.readouterr().err
    if fps is None:
        assert "fast: 30 fps, shown to the model at 15 fps as in training" in told
        assert "(variable) fps, shown to the model at 15 fps" in told
        assert "trained:" not in told
    data = ["--data", str(test_set / "dataset.yaml"), "--side", "test", "--out", str(other)]
    assert main(["evaluate", *checkpoint, *data, "--bootstrap", "0", "--gallery", "0"]) == 0
    if fps is None:
        assert "test: 2 of 3 videos" in capsys.readouterr().err
    found, wanted = (read_detections(p) for p in (other / "detections.jsonl", one))
    for name, video in wanted.videos.items():
        same = found.videos[name]
        assert same.processed.tolist() == video.processed.tolist() == [[0, COUNT - 1]]
        assert (same.frames == video.frames).all()
        np.testing.assert_allclose(same.scores, video.scores, atol=1e-5)
        np.testing.assert_allclose(same.boxes, video.boxes, atol=2e-3)


def test_detections_bring_their_rate_to_the_events(checkpoints, test_set, tmp_path):
    out = tmp_path / "found.jsonl"
    checkpoint = ["--checkpoint", str(checkpoints["recurrent-yolo"]), "--score-floor", "0"]
    assert main(["predict", str(test_set / "videos"), *checkpoint, "--out", str(out)]) == 0
    found = read_detections(out)
    assert found.videos["fast"].clock.fps == 30 and found.videos["fast"].clock.constant
    times = open_video(test_set / "videos" / "uneven.mp4").timestamps
    assert found.videos["uneven"].clock.times == pytest.approx(times, abs=1e-6)
    tubes, log = tmp_path / "tubes.json", tmp_path / "log"
    linking = ["--min-score", "0", "--min-length", "0", "--no-trim"]
    assert main(["tubes", "--detections", str(out), "--out", str(tubes), *linking]) == 0
    events = ["events", "--tubes", str(tubes), "--out", str(log), "--no-plot"]
    assert main([*events, "--min-score", "0", "--min-seconds", "0", "--join-seconds", "0"]) == 0
    content = json.loads(tubes.read_text())["videos"]["uneven"]["tubes"]
    rows = [r for r in csv.DictReader((log / "events.csv").open()) if r["video"] == "uneven"]
    assert rows and len(rows) == len(content)
    for row in rows:
        tube = content[int(row["tubes"])]
        assert float(row["start_s"]) == pytest.approx(times[tube["start"]], abs=0.006)


def test_a_checkpoint_without_a_rate_runs_as_before_and_says_so(test_set, tmp_path, capsys):
    old = save_small_checkpoint(tmp_path / "old.pt", "recurrent-yolo")
    new = save_small_checkpoint(tmp_path / "new.pt", "recurrent-yolo", Timing(15.0))
    video = str(test_set / "videos" / "fast.mp4")
    rows = []
    for name, checkpoint, rate in (("a", old, []), ("b", new, ["--fps", "native"])):
        out = tmp_path / f"{name}.jsonl"
        command = ["predict", video, "--checkpoint", str(checkpoint), "--out", str(out), *rate]
        assert main([*command, "--device", "cpu", "--score-floor", "0"]) == 0
        told = capsys.readouterr().err
        assert told.count("does not say at what frame rate it was trained") == (name == "a")
        rows.append(out.read_text())
    assert rows[0] == rows[1] and '"bbox"' in rows[0]


@pytest.mark.parametrize("rate", ["0", "-3", "nan", "inf", "fast"])
def test_a_rate_that_is_none_is_one_line(checkpoints, test_set, tmp_path, capsys, rate):
    video, out = str(test_set / "videos" / "fast.mp4"), str(tmp_path / "out.jsonl")
    checkpoint = ["--checkpoint", str(checkpoints["yowo"]), "--out", out]
    assert main(["predict", video, *checkpoint, f"--fps={rate}"]) == 2
    assert "--fps: expected native or a number above 0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Training footage of three rates, most of it at 15 a second."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "videos").mkdir()
    rates = {"a": 15, "b": Fraction(15000, 1001), "c": 30, "d": 30}
    truth = {}
    for name, rate in rates.items():
        count = {"a": 40, "b": 40, "c": 60, "d": 50}[name]
        write_numbered(folder / "videos" / f"{name}.mp4", count=count, rate=rate, size=SIZE)
        boxes = np.tile((8.0, 4.0, 28.0, 28.0), (count, 1))
        boxes[:, :2] += np.arange(count)[:, None] % 5  # several sizes to find anchors in
        labels = np.eye(2)[np.arange(count) // 10 % 2]
        truth[name] = VideoAnnotations.build(
            name, SIZE, float(rate), np.ones(count), np.arange(count), boxes, labels
        )
    write_coco_video(folder / "truth.json", AnnotationSet(NAMES, truth))
    content = {
        "format": "coco-video",
        "annotations": "truth.json",
        "split": {"method": "lists", "lists": {"train": ["a", "b", "c"], "val": ["d"]}},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return folder / "dataset.yaml"


def train(dataset, output, *more):
    settings = [
        f"data.dataset={dataset}",
        f"data.size=[{SIZE[0]}, {SIZE[1]}]",
        "data.workers=0",
        "yolo.network=yolov3-tiny",
        "yolo.width=0.125",
        "yolo.strides=[16, 32]",
        "yolo.num_anchors=2",
        "recurrent.memory.hidden=4",
        "recurrent.sampler.lanes=2",
        "recurrent.sampler.window=4",
        "yowo.backbone=resnet18",
        "yowo.width=0.125",
        "yowo.clip_length=4",
        "yowo.num_anchors=2",
        "loop.max_steps=1",
        "inference.max_detections=5",
    ]
    return main(["train", *settings, f"output={output}", *more])


@pytest.mark.parametrize("model", ["recurrent-yolo", "yowo"])
def test_training_shows_all_videos_at_one_rate_and_the_checkpoint_knows_it(
    mixed, tmp_path, model, capsys
):
    assert train(mixed, tmp_path / "run", f"model={model}") == 0
    told = capsys.readouterr().out
    assert "frames are shown at 15 fps, the rate of most of the footage (14.99, 15, 30)" in told
    timing = read_checkpoint(tmp_path / "run" / "best.pt").timing
    assert timing.fps == 15 and timing.seconds == pytest.approx(1 / 15)
    assert timing.rates == {
        "15": pytest.approx(40 / 15, abs=1e-3),
        "14.99": pytest.approx(40 * 1001 / 15000, abs=1e-3),
        "30": pytest.approx(2.0),
    }


def test_the_rate_of_training_can_be_chosen(mixed, tmp_path, capsys):
    step = ["recurrent.sampler.stride=2", "model=recurrent-yolo"]
    assert train(mixed, tmp_path / "ten", "data.fps=10", *step) == 0
    timing = read_checkpoint(tmp_path / "ten" / "best.pt").timing
    assert (timing.fps, timing.step, timing.stream_fps) == (10, 2, 5)
    assert train(mixed, tmp_path / "native", "data.fps=native", "model=recurrent-yolo") == 0
    assert "the model will not know its rate" in capsys.readouterr().out
    assert read_checkpoint(tmp_path / "native" / "best.pt").timing.fps is None
    assert train(mixed, tmp_path / "bad", "data.fps=0", "model=recurrent-yolo") == 2


def test_a_stream_in_training_is_the_one_that_prediction_shows(mixed):
    from stadet.detect.detector import Detector
    from stadet.tools.training.config import DataConfig
    from stadet.tools.training.data import open_footage

    model = Detector()
    model.context_frames = None
    config = DataConfig(dataset=str(mixed), size=SIZE, resize="stretch", workers=0)
    footage = open_footage(config)
    side = footage.training_side(model)
    stream = side.videos["c"].stream
    assert (stream.shown == resample(Clock(30.0), 60, 15.0).shown).all()
    clips = footage.clips(side, None)
    assert (clips.read_frame("c", 7) == footage.cache.read("c", 14)).all()
    assert (clips.read_frame("a", 7) == footage.cache.read("a", 7)).all()
    assert footage.visible("train", side)["c"].tolist() == [True] * 30
    answers = [("c", tick, tick) for tick in range(30)] + [("a", 3, 3)]
    brought = list(footage.frames_of(answers, model))
    assert brought == [("c", frame, frame // 2) for frame in range(60)] + [("a", 3, 3)]
