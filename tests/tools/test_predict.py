import json
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
import torch
import yaml
from scipy.optimize import linear_sum_assignment

from stadet.datasets.footage.video import open_video
from stadet.detect.boxes import xyxy_to_xywh
from stadet.detect.detections.reader import read_detections
from stadet.detect.nms import suppress, to_detections
from stadet.detect.view import View
from stadet.tools.actors import add_actors
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector


@pytest.fixture(scope="module")
def runs(footage, trained, tmp_path_factory):
    """A finished run of each kind of detector: by frame, with memory, by clip."""
    folder = tmp_path_factory.mktemp("kinds")
    found = {"yolo": trained}
    for kind in ("recurrent-yolo", "yowo"):
        found[kind] = folder / kind
        assert footage.train(found[kind], f"model={kind}", "loop.max_steps=1") == 0
    return found


def predict(run, out, *arguments):
    return main(
        [
            *("predict", "--for-evaluation", *map(str, arguments)),
            *("--checkpoint", str(run / "best.pt"), "--out", str(out)),
        ]
    )


def expect_same(found, wanted, box=0.02, score=1e-5):
    """Two detections files hold the same answers for the same frames, in any order of a frame's
    boxes: rounding may let two of nearly equal scores change places."""
    found, wanted = read_detections(found), read_detections(wanted)
    assert found.videos.keys() == wanted.videos.keys()
    for video in wanted:
        other = found.videos[video.name]
        assert other.processed.tolist() == video.processed.tolist()
        assert other.frames.tolist() == video.frames.tolist()
        assert len(video.frames) > 0
        rows = np.concatenate([_matched(other, video, frame) for frame in np.unique(video.frames)])
        np.testing.assert_allclose(other.boxes[rows], video.boxes, atol=box)
        np.testing.assert_allclose(other.scores[rows], video.scores, atol=score)


def _matched(found, wanted, frame):
    """Rows of `found` in the order of the wanted boxes of the frame that they are nearest to."""
    rows, others = (np.flatnonzero(side.frames == frame) for side in (wanted, found))
    apart = np.abs(wanted.boxes[rows, None] - found.boxes[None, others]).max(axis=2)
    apart += np.abs(wanted.scores[rows, None] - found.scores[None, others]).max(axis=2)
    return others[linear_sum_assignment(apart)[1]]


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.jsonl.zst", "d.parquet"])
def test_a_file_of_each_form_gives_the_figures_of_the_plain_one(footage, trained, tmp_path, name):
    plain, packed = tmp_path / "d.jsonl", tmp_path / name
    for out in (plain, packed):
        assert predict(trained, out, footage.video) == 0
    expect_same(packed, plain, box=0, score=0)
    metrics = []
    for file in (plain, packed):
        report = tmp_path / f"report{file.suffix}"
        arguments = [
            "--data",
            str(footage.dataset),
            "--detections",
            str(file),
            "--out",
            str(report),
        ]
        assert main(["evaluate", *arguments, "--bootstrap", "0", "--gallery", "0"]) == 0
        metrics.append(json.loads((report / "metrics.json").read_text())["per_class"])
    assert metrics[0] == metrics[1]


def test_the_file_is_what_the_network_says_frame_by_frame(footage, trained, tmp_path):
    assert predict(trained, tmp_path / "d.jsonl", footage.video, "--max-frames", 5) == 0
    detector = open_detector(trained / "best.pt")
    (found,) = read_detections(tmp_path / "d.jsonl", detector.names)
    assert found.name == "counter00_front" and found.processed.tolist() == [[0, 4]]
    video = open_video(footage.video)
    view = View.fit(video.size, (64, 96), "stretch")
    config = detector.config.inference
    for frame in range(5):
        seen = torch.from_numpy(view.apply(video.frame(frame))).permute(2, 0, 1)
        with torch.inference_mode():
            maps, _ = detector.model(seen[None, None])
            (rows,) = suppress(
                detector.model.decode(maps), config.score_floor, config.iou_threshold, 20, False
            )
        wanted = to_detections(rows, view)
        assert len(found[frame]) == len(wanted) > 0
        np.testing.assert_allclose(
            xyxy_to_xywh(found[frame].boxes), xyxy_to_xywh(wanted.boxes), atol=0.01
        )
        listed = np.where(wanted.scores >= config.score_floor, wanted.scores, 0)
        np.testing.assert_allclose(found[frame].scores, listed, atol=1e-6)


@pytest.mark.parametrize("kind", ["yolo", "recurrent-yolo", "yowo"])
def test_windows_change_speed_only(footage, runs, tmp_path, kind):
    for window in (1, 8):
        out = tmp_path / f"{window}.jsonl"
        assert predict(runs[kind], out, footage.video, "--max-frames", 20, "--window", window) == 0
    expect_same(tmp_path / "1.jsonl", tmp_path / "8.jsonl")


@pytest.mark.parametrize("kind", ["yolo", "recurrent-yolo", "yowo"])
def test_a_file_that_was_cut_off_goes_on_as_the_whole(footage, runs, tmp_path, kind):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    arguments = (footage.video, "--max-frames", 40)
    assert predict(runs[kind], whole, *arguments) == 0
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    assert predict(runs[kind], cut, *arguments, "--resume") == 0
    expect_same(cut, whole)
    before = cut.read_bytes()
    assert predict(runs[kind], cut, *arguments, "--resume") == 0
    assert cut.read_bytes() == before


def test_an_existing_file_is_not_overwritten(footage, trained, tmp_path, capsys):
    (tmp_path / "d.jsonl").write_text("precious\n")
    assert predict(trained, tmp_path / "d.jsonl", footage.video) == 2
    assert "exists; give --resume to continue it" in capsys.readouterr().err
    assert predict(trained, tmp_path / "d.jsonl", footage.video, "--resume") == 2
    assert "expected a detections file of the same classes" in capsys.readouterr().err
    assert (tmp_path / "d.jsonl").read_text() == "precious\n"


def test_folders_frame_folders_and_more_frames_than_there_are(footage, trained, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, image in open_video(footage.video).frames(stop=3):
        cv2.imwrite(str(frames / f"{number:05d}.png"), image[..., ::-1])
    assert predict(trained, tmp_path / "d.jsonl", footage.videos, frames, "--window", 3) == 0
    found = read_detections(tmp_path / "d.jsonl")
    assert set(found.videos) == {path.stem for path in footage.videos.glob("*.mp4")} | {"frames"}
    assert found.videos["frames"].processed.tolist() == [[0, 2]]
    length = len(open_video(footage.video))
    assert found.videos["counter00_front"].processed.tolist() == [[0, length - 1]]
    for frame in range(3):
        np.testing.assert_allclose(
            found.videos["frames"][frame].boxes,
            found.videos["counter00_front"][frame].boxes,
            atol=0.01,
        )
    assert predict(trained, tmp_path / "e.jsonl", frames, "--max-frames", 100) == 0
    assert read_detections(tmp_path / "e.jsonl").videos["frames"].processed.tolist() == [[0, 2]]


def test_tiles_see_every_frame(footage, trained, runs, tmp_path, capsys):
    arguments = (footage.video, "--max-frames", 2, "--tiles", 1, 2)
    assert predict(trained, tmp_path / "d.jsonl", *arguments) == 0
    (found,) = read_detections(tmp_path / "d.jsonl")
    assert found.processed.tolist() == [[0, 1]] and len(found.frames)
    assert predict(runs["recurrent-yolo"], tmp_path / "e.jsonl", *arguments) == 2
    assert "--tiles: expected a frame detector" in capsys.readouterr().err


def test_forgetting_shows_what_a_memory_is_worth(footage, runs, tmp_path):
    arguments = (footage.video, "--max-frames", 8)
    assert predict(runs["recurrent-yolo"], tmp_path / "a.jsonl", *arguments) == 0
    assert predict(runs["recurrent-yolo"], tmp_path / "b.jsonl", *arguments, "--forget") == 0
    (kept,), (forgot,) = (read_detections(tmp_path / f"{name}.jsonl") for name in "ab")
    first = kept.frames == 0
    np.testing.assert_allclose(kept.scores[first], forgot.scores[forgot.frames == 0], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.mp4"], "absent.mp4: expected a video or a folder, found nothing there"),
        (["camera:front"], "camera:front: expected a camera's number"),
        (["{video}", "{copy}"], "two videos are named 'counter00_front'"),
        (["{zero}"], "expected a video, found an empty file"),
        (["{text}"], "expected a video, found a file that"),
        (["{empty}"], "{empty}"),
        (["{video}", "--window", "0"], "window: expected at least 1, found 0"),
        (["{video}", "--max-frames", "0"], "max_frames: expected at least 1, found 0"),
        (["{video}", "--device", "tpu"], "--device: expected one of cpu"),
        (["{video}", "--score-floor", "2"], "score_floor: expected at least 0 and at most 1"),
    ],
)
def test_mistakes_are_one_line(footage, trained, tmp_path, capsys, arguments, message):
    places = {
        "video": footage.video,
        "copy": tmp_path / "copy" / footage.video.name,
        "zero": tmp_path / "zero.mp4",
        "text": tmp_path / "text.mp4",
        "empty": tmp_path / "empty",
    }
    places["copy"].parent.mkdir()
    shutil.copy(footage.video, places["copy"])
    places["zero"].touch()
    places["text"].write_text("no video\n" * 100)
    places["empty"].mkdir()
    out = tmp_path / "d.jsonl"
    assert predict(trained, out, *(a.format(**places) for a in arguments)) == 2
    said = capsys.readouterr()
    assert message.format(**places) in said.err and said.err.count("\n") == 1
    assert "detections:" not in said.out


def test_a_truncated_video_is_predicted_as_far_as_it_goes(footage, trained, tmp_path, capsys):
    content = footage.video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    assert predict(trained, tmp_path / "d.jsonl", tmp_path / "cut.mp4") == 0
    (found,) = read_detections(tmp_path / "d.jsonl")
    length = len(open_video(tmp_path / "cut.mp4"))
    assert 0 < length < len(open_video(footage.video))
    assert found.processed.tolist() == [[0, length - 1]]
    assert "cut: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "stop", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_stopped_prediction_goes_on_as_the_whole(
    footage, trained, tmp_path, start_stad, stop, capsys
):
    videos = tmp_path / "videos"  # enough of them that the signal comes in time on a busy machine
    videos.mkdir()
    for number in range(8):
        (videos / f"video{number}.mp4").symlink_to(footage.video)
    assert predict(trained, tmp_path / "whole.jsonl", videos) == 0
    out = tmp_path / "cut.jsonl"
    process = start_stad(
        "predict",
        videos,
        "--checkpoint",
        trained / "best.pt",
        "--out",
        out,
        "--window",
        1,
        "--for-evaluation",
    )
    while not (out.exists() and b"processed" in out.read_bytes()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[stop], err
    assert err == ("stad predict: interrupted\n" if stop == signal.SIGINT else "")
    capsys.readouterr()
    assert predict(trained, out, videos, "--resume") == 0
    expect_same(out, tmp_path / "whole.jsonl")


def other_dataset(footage, tmp_path, **changes):
    content = yaml.safe_load(footage.dataset.read_text())
    content.update(path=str(footage.dataset.parent), **changes)
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_evaluating_with_other_classes(footage, trained, tmp_path, capsys):
    names = yaml.safe_load(footage.dataset.read_text())["names"]
    data = other_dataset(footage, tmp_path, names=[*names, "juggling"])
    arguments = ["--checkpoint", str(trained / "best.pt"), "--data", str(data)]
    assert main(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "expected the data set's 9 classes, found 8 (differing: 'juggling')" in said
    assert not list((tmp_path / "out").iterdir())


def test_evaluating_on_frames_of_the_training(footage, trained, tmp_path, capsys):
    split = {"method": "blocks", "block_seconds": 4, "val": 0.2, "seed": 5}
    data = other_dataset(footage, tmp_path, split=split)
    arguments = ["evaluate", "--checkpoint", str(trained / "best.pt"), "--data", str(data)]
    arguments += ["--out", str(tmp_path / "out"), "--gallery", "0"]
    assert main(arguments) == 2
    assert "was trained on" in (said := capsys.readouterr().err) and "--allow-overlap" in said
    assert main([*arguments, "--allow-overlap"]) == 0
    assert main([*arguments, "--side", "train", "--overwrite"]) == 0


def test_the_order_of_the_classes_does_not_matter(footage, trained, tmp_path):
    names = yaml.safe_load(footage.dataset.read_text())["names"]
    data = other_dataset(footage, tmp_path, names=names[::-1])
    out = tmp_path / "out"
    arguments = ["--checkpoint", str(trained / "best.pt"), "--data", str(data), "--gallery", "0"]
    assert main(["evaluate", *arguments, "--out", str(out)]) == 0
    (found, wanted) = ((run / "metrics.json").read_text() for run in (out, trained / "report"))
    figure = '"frame_map_50": '
    assert found.partition(figure)[2][:8] == wanted.partition(figure)[2][:8]


def test_actors_are_those_of_the_whole_file(footage, trained, tmp_path, capsys):
    pytest.importorskip("trackers")
    plain, own = tmp_path / "plain.jsonl", tmp_path / "actors.jsonl"
    assert predict(trained, plain, footage.video) == 0
    assert predict(trained, own, footage.video, "--max-frames", 20, "--actors") == 0
    assert predict(trained, own, footage.video, "--actors", "--resume") == 0
    assert " actors in 1 videos" in capsys.readouterr().out
    expect_same(own, plain)
    wanted = add_actors(plain, out=tmp_path / "after.jsonl")
    for video in wanted:
        found = read_detections(own).videos[video.name].actor_ids
        assert found is None or found.tolist() == video.actor_ids.tolist()


def test_save_draws_each_video(footage, trained, tmp_path):
    out, boxed = tmp_path / "d.jsonl", tmp_path / "boxed"
    assert predict(trained, out, footage.video, "--save", boxed) == 0
    assert len(open_video(boxed / footage.video.name)) == len(open_video(footage.video))
    assert predict(trained, out, footage.video, "--save", boxed, "--overwrite") == 0
    assert predict(trained, tmp_path / "e.jsonl", footage.video, "--save", boxed) == 2
