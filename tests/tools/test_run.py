"""stad run: everything from one command, and the page that links it."""

import re

import pytest

from stadet.datasets.footage.video import open_video
from stadet.detect.detections.reader import read_detections
from stadet.detect.tubes.file import read_tubes
from stadet.engine.csv_files import cell_text
from stadet.tools.cli import main
from stadet.tools.inference.predict import predict, use_floor
from stadet.tools.inference.run import LEAST_SHARE, run_videos
from tests.tools.small_checkpoints import save_small_checkpoint


@pytest.fixture(scope="module")
def result(footage, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "all"
    videos = sorted(footage.videos.glob("*.mp4"))[:2]
    return run_videos(videos, trained / "best.pt", folder, threshold=1e-4, max_frames=30)


def test_all_files_are_there_and_speak_of_the_same(result, footage):
    found = read_detections(result.detections)
    names = sorted(path.stem for path in footage.videos.glob("*.mp4"))[:2]
    assert list(found.videos) == list(read_tubes(result.tubes).videos) == names
    for video in result.videos:
        assert found.videos[video.name].processed.tolist()[-1][-1] == 29
        boxed = open_video(video.boxed)
        assert len(boxed) == 30 and boxed.size == (64, 112)
    rows = result.events.read_text().splitlines()[1:]
    assert sorted(cell_text(row.split(",")[0]) for row in rows) == sorted(
        event.video for video in result.videos for event in video.events
    )
    assert rows


def test_every_link_of_the_page_leads_to_a_file(result):
    page = result.page.read_text()
    links = set(re.findall(r'(?:href|src)="([^"#]+)', page))
    assert {"detections.jsonl", "tubes.json", "events.csv", "counts.csv"} < links
    assert {video.boxed.name for video in result.videos} < links
    assert all((result.page.parent / link).is_file() for link in links), links
    assert "http" not in page


def test_results_are_not_replaced_unasked(result, footage, trained, capsys):
    before = result.page.stat().st_mtime_ns
    command = ["run", str(footage.video), "--checkpoint", str(trained / "best.pt"), "--out"]
    assert main([*command, str(result.page.parent)]) == 2
    assert "give --overwrite to replace it" in capsys.readouterr().err
    assert result.page.stat().st_mtime_ns == before


def test_names_are_escaped_and_the_command_names_the_page(footage, trained, tmp_path, capsys):
    odd = tmp_path / "a <b> #1.mp4"
    odd.symlink_to(footage.video)
    command = ["run", str(odd), "--checkpoint", str(trained / "best.pt"), "--out"]
    limits = ("--max-frames", "4", "--threshold", "0.9")
    assert main([*command, str(tmp_path / "out"), *limits]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "a &lt;b&gt; #1" in page and "<b>" not in page
    assert "No event with a score of 0.90 or more." in page
    assert str(tmp_path / "out" / "index.html") in capsys.readouterr().out


def test_files_for_use_hold_the_strong_detections_of_those_for_evaluation(
    footage, trained, tmp_path, monkeypatch
):
    from stadet.tools.inference import predict as module

    whole, short = tmp_path / "whole.jsonl", tmp_path / "short.jsonl"
    everything = predict(
        footage.video, trained / "best.pt", whole, for_evaluation=True, max_frames=10
    )
    scores = read_detections(everything).videos[footage.video.stem].scores
    floor = float(sorted(scores.max(axis=1))[len(scores) // 2]) * (1 - 1e-6)
    monkeypatch.setattr(module, "use_floor", lambda detector: floor)
    predict(footage.video, trained / "best.pt", short, max_frames=10)
    kept = read_detections(short)
    assert kept.score_floor == floor
    wanted = (scores * (scores >= floor)).max(axis=1)
    assert len(kept.videos[footage.video.stem].scores) == int((wanted > 0).sum())
    # an unfinished file is continued as it was begun, whatever the floor is now
    monkeypatch.setattr(module, "use_floor", lambda detector: floor / 2)
    predict(footage.video, trained / "best.pt", short, resume=True, max_frames=12)
    assert read_detections(short).score_floor == floor


@pytest.mark.parametrize(
    ("threshold", "config_floor", "floor"),
    [(None, 0.005, 0.1), (0.6, 0.005, 0.1), (0.08, 0.005, 0.04), (0.001, 0.005, 0.005)],
)
def test_the_floor_for_use(threshold, config_floor, floor):
    class Settings:
        class inference:
            score_floor = config_floor

    class Detector:
        config = Settings

    Detector.threshold = threshold
    assert use_floor(Detector) == pytest.approx(floor)


def test_another_rate_is_handed_on(footage, tmp_path):
    path = save_small_checkpoint(tmp_path / "recurrent.pt", "recurrent-yolo")
    options = {"threshold": 1e-4, "device": "cpu", "fps": 5}
    made = run_videos(footage.video, path, tmp_path / "out", **options)
    floor = LEAST_SHARE * options["threshold"]
    lone = predict(
        [footage.video], path, tmp_path / "d.jsonl", score_floor=floor, device="cpu", fps=5
    )
    assert made.detections.read_bytes() == lone.read_bytes()
    native = predict(
        [footage.video], path, tmp_path / "n.jsonl", score_floor=floor, device="cpu", fps="native"
    )
    assert native.read_bytes() != lone.read_bytes()
