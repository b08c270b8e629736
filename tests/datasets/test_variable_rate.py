"""Everything that is measured in seconds, on a video whose frames are not evenly spaced in time."""

import itertools
import json

import numpy as np
import pytest
import yaml

from stadet.classify.timeline import window_spans
from stadet.datasets.clip_export import ExportClip, cut_annotations, write_clips
from stadet.datasets.dataset import load_dataset
from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.footage.video import open_video
from stadet.datasets.formats.ava import read_ava
from stadet.datasets.formats.coco_video import read_coco_video, write_coco_video
from stadet.datasets.splits.split import SplitConfig, make_split
from stadet.datasets.statistics import measure
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.columns import gather
from stadet.detect.metrics.truth_runs import truth_runs
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.events import EventOptions, find_events
from stadet.detect.tubes.file import read_tubes, write_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.sequences import SequenceConfig, action_sequences
from tests.datasets.numbered_videos import number_of, write_numbered

# 25 frames a second at first, then 10 on average
GAPS = [0.04] * 20 + list(itertools.islice(itertools.cycle([0.08, 0.12]), 19))
TIMES = np.cumsum([0, *GAPS]).round(2)
COUNT = len(TIMES)
FPS = (COUNT - 1) / TIMES[-1]
SIZE = (64, 160)


def annotated(name="a", frames=(), times=TIMES, fps=FPS, looked_at=None):
    count = COUNT if times is None else len(times)
    frames = np.array(frames, dtype=int)
    boxes = np.tile((8.0, 4.0, 28.0, 28.0), (len(frames), 1))
    looked_at = np.ones(count, dtype=bool) if looked_at is None else looked_at
    labels, tracks = np.ones((len(frames), 1)), np.zeros(len(frames))
    return VideoAnnotations.build(
        name, SIZE, fps, looked_at, frames, boxes, labels, tracks, times=times
    )


def in_set(*videos):
    return AnnotationSet(("pick",), {video.name: video for video in videos})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """An uneven video and an even one that show the same time, in a data set file."""
    folder = tmp_path_factory.mktemp("uneven")
    (folder / "videos").mkdir()
    ticks = np.rint(TIMES * 90_000).astype(int).tolist()
    write_numbered(folder / "videos" / "uneven.mp4", count=COUNT, pts=ticks)
    write_numbered(folder / "videos" / "even.mp4", count=68, rate=25)
    even = np.arange(68) / 25
    truth = in_set(
        annotated("uneven", range(5, 10)),
        annotated("even", range(5, 10), times=None, fps=25.0, looked_at=np.ones(68, dtype=bool)),
    )
    assert even[-1] == TIMES[-1]
    write_coco_video(folder / "truth.json", truth)
    content = {
        "format": "coco-video",
        "annotations": "truth.json",
        "views": {"counter": ["even", "uneven"]},
        "split": {"method": "blocks", "block_seconds": 0.4, "val": 0.5},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return load_dataset(folder / "dataset.yaml")


def test_the_timestamps_of_the_file_reach_the_truth(dataset):
    video = dataset.annotations.videos["uneven"]
    assert video.clock.times == pytest.approx(TIMES, abs=1e-4)
    assert dataset.annotations.videos["even"].clock.constant


def test_views_of_one_moment_are_on_one_side(dataset):
    """Each frame is on the side of the frame that the other view shows at its moment."""
    masks = dataset.split.masks["val"]
    shown = np.floor(TIMES * 25 + 1e-6).astype(int)
    assert (masks["uneven"] == masks["even"][shown]).all()
    assert 0 < masks["uneven"].sum() < COUNT


@pytest.mark.parametrize("method", ["blocks", "clips"])
def test_other_cuts_of_views_agree_too(method):
    frames = [*range(3, 6), *range(22, 26)]
    even = np.arange(68) / 25
    same = [
        f for f in range(68) if TIMES[3] <= even[f] < TIMES[6] or TIMES[22] <= even[f] < TIMES[26]
    ]
    truth = in_set(
        annotated("uneven", frames),
        annotated("even", same, times=None, fps=25.0, looked_at=np.ones(68, dtype=bool)),
    )
    config = SplitConfig(method=method, block_seconds=0.5, val=0.5)
    masks = make_split(truth, config, views={"v": ["uneven", "even"]}).masks["val"]
    assert (masks["uneven"] == masks["even"][np.floor(TIMES * 25 + 1e-6).astype(int)]).all()


def test_ava_seconds_are_looked_up(tmp_path):
    (tmp_path / "labels.pbtxt").write_text('item {\n  name: "pick"\n  id: 1\n}\n')
    (tmp_path / "truth.csv").write_text("v,901,0.1,0.1,0.5,0.5,1,0\nv,902,0.1,0.1,0.5,0.5,1,0\n")
    info = VideoInfo("v", SIZE, FPS, COUNT, TIMES)
    found = read_ava(
        tmp_path / "truth.csv",
        videos={"v": info},
        label_map="labels.pbtxt",
        key_seconds=(901, 902),
        first_second=900.0,
    )
    assert found.videos["v"].frames.tolist() == [22, 32]
    assert TIMES[[22, 32]].tolist() == [1.0, 2.0]


def test_durations_are_measured(dataset):
    (pick,) = measure(in_set(annotated(frames=range(5, 10)))).classes
    assert pick.seconds[2] == pytest.approx(0.2)
    (late,) = measure(in_set(annotated(frames=range(22, 26)))).classes
    assert late.seconds[2] == pytest.approx(TIMES[26] - TIMES[22])
    whole = measure(dataset.annotations)
    assert whole.seconds == pytest.approx(68 / 25 + TIMES[-1] + 0.08, abs=0.05)
    assert whole.variable_rates == 1


def test_runs_of_truth_are_measured():
    truth = in_set(annotated(frames=range(20, 26)))
    nothing = VideoDetections(
        "a", np.zeros(0, int), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 1)), np.array([[0, 39]])
    )
    columns = gather(truth, DetectionSet(("pick",), 0.0, {"a": nothing}))
    runs = truth_runs(columns, {"a": truth.videos["a"].clock})
    assert runs.seconds.tolist() == pytest.approx([TIMES[26] - TIMES[20]])


def test_windows_begin_and_end_when_they_should():
    clock = Clock(FPS, TIMES)
    spans = window_spans(COUNT, clock, 0.5, 0.2)
    assert spans[0][0] == 0 and spans[-1][1] == COUNT
    for number, (start, stop) in enumerate(spans[:-1]):
        wanted = 0.2 * number
        assert TIMES[start] == min(t for t in TIMES if t >= wanted - 1e-6)
        assert TIMES[stop - 1] == max(t for t in TIMES if t < wanted + 0.5 - 1e-6)
    with_constant = window_spans(100, Clock(25.0), 1.0, 0.5)
    assert with_constant == [(s, s + 25) for s in [0, 12, 24, 36, 48, 60, 72, 75]]


def test_sequences_are_cut_by_seconds():
    has_action = np.zeros(COUNT, dtype=bool)
    has_action[[5, 6, 30, 31]] = True
    config = SequenceConfig(pad=0.16, merge=0.0, shortest=0.04, longest=9.0, overlap=0.0)
    found = action_sequences(has_action, np.ones(COUNT, bool), Clock(FPS, TIMES), config)
    assert [(TIMES[a], TIMES[b - 1]) for a, b in found] == [
        (pytest.approx(0.04), pytest.approx(0.4)),
        (pytest.approx(TIMES[28]), pytest.approx(TIMES[33])),
    ]


def test_written_clips_keep_their_times(dataset, tmp_path):
    clips = [
        ExportClip("uneven", 3, 12, "pick", "train"),
        ExportClip("uneven", 18, 30, "pick", "train"),
    ]
    write_clips(tmp_path, clips, dataset.annotations, dataset.open_video)
    for clip in clips:
        video = open_video(tmp_path / "train" / "pick" / f"{clip.stem}.mp4")
        expected = TIMES[clip.start : clip.stop] - TIMES[clip.start]
        assert video.timestamps == pytest.approx(expected, abs=1e-4)
        assert number_of(video.frame(4)) == clip.start + 4
    cut = cut_annotations(dataset.annotations.videos["uneven"], clips[1], "cut")
    assert cut.clock.times == pytest.approx(TIMES[18:30] - TIMES[18], abs=1e-4)


def test_tubes_and_events_have_the_videos_seconds(tmp_path):
    boxes = np.tile((8.0, 4.0, 28.0, 28.0), (5, 1))
    tubes = [Tube(5, boxes, 0, 0.9), Tube(22, boxes[:4], 0, 0.9), Tube(28, boxes, 0, 0.9)]
    videos = {"a": VideoTubes("a", tubes, FPS, COUNT, TIMES)}
    write_tubes(tmp_path / "tubes.json", TubeSet(("pick",), videos))
    again = read_tubes(tmp_path / "tubes.json")
    assert again.videos["a"].times == pytest.approx(TIMES)
    # frames 22..25 end at 1.4, 28 begins at 1.6: joined by .21 s, though not by .19
    for join, count in ((0.19, 3), (0.21, 2)):
        events = find_events(again, EventOptions(0.3, 0.0, join))
        assert len(events) == count
        assert (events[0].start, events[0].stop) == (pytest.approx(0.2), pytest.approx(0.4))
    content = json.loads((tmp_path / "tubes.json").read_text())
    content["videos"]["a"]["times"][3] = 0.0
    (tmp_path / "tubes.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="seconds that rise"):
        read_tubes(tmp_path / "tubes.json")


def test_coco_video_files_keep_the_times(tmp_path):
    truth = in_set(annotated("uneven", range(5, 10)), annotated("even", [3], times=None))
    write_coco_video(tmp_path / "truth.json", truth)
    again = read_coco_video(tmp_path / "truth.json")
    assert again.videos["uneven"].clock.times == pytest.approx(TIMES)
    assert again.videos["even"].clock.constant
    content = json.loads((tmp_path / "truth.json").read_text())
    for wrong in ([1, 2], [*TIMES[:-1], 0.0], "soon", [[0.0] * COUNT], [float("nan")] * COUNT):
        content["videos"][0]["times"] = list(wrong) if isinstance(wrong, list) else wrong
        (tmp_path / "bad.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=f"expected times as {COUNT} seconds that rise"):
            read_coco_video(tmp_path / "bad.json")


def test_yowo_folders_are_brought_to_one_rate(dataset, tmp_path):
    """Half of the footage is at 25 frames a second, so that is what the images are at."""
    clips = [
        ExportClip("uneven", 18, 30, "pick", "train"),
        ExportClip("even", 0, 40, "pick", "train"),
    ]
    keys = write_clips(
        tmp_path, clips, dataset.annotations, dataset.open_video, layout="yowo", size=SIZE
    )
    assert keys["frame_folder_fps"] == 25
    folder = open_video(tmp_path / "rgb-images" / "pick" / clips[0].stem, fps=25)
    ticks = np.arange(len(folder)) / 25
    expected = [int(np.searchsorted(TIMES, TIMES[18] + t + 0.7 / 25 - 1e-6)) - 1 for t in ticks]
    assert [number_of(image) for _, image in folder.frames()] == expected
    assert len(folder) == round((TIMES[29] - TIMES[18]) * 25) + 1
    labels = sorted((tmp_path / "labels" / "pick" / clips[0].stem).iterdir())
    assert len(labels) == len(folder)
