"""`stad rules` over tubes and truth, through the command line."""

import csv
import json

import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.file import write_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.tools.cli import main
from tests.datasets.numbered_videos import write_numbered
from tests.tools.streams.test_webhook import Receiver

NAMES = ("hand", "wipe")
SCENE = """\
schema: stad-scene/1
cameras:
  counter:
    videos: ["*"]
    zones: {bin: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
rules:
  - {name: hand in the bin, kind: dwell, classes: [hand], zone: bin, seconds: 1}
  - {name: unwiped, kind: absence, after: {classes: [hand], zone: bin}, expect: {classes: [wipe]},
     within: 3}
"""


@pytest.fixture
def files(tmp_path):
    """A hand moves out of the bin after 2 s of 6; nobody wipes."""
    left, right = np.array([10.0, 20, 30, 60]), np.array([150.0, 20, 170, 60])
    boxes = np.concatenate([np.tile(left, (20, 1)), np.tile(right, (40, 1))])
    tubes = TubeSet(NAMES, {"v": VideoTubes("v", [Tube(0, boxes, 0, 0.8)], 10.0, 60)})
    write_tubes(tmp_path / "tubes.json", tubes)
    labels = np.tile([True, False], (60, 1))
    looked_at = np.ones(60, dtype=bool)
    truth = VideoAnnotations.build(
        "v", (100, 200), 10.0, looked_at, np.arange(60), boxes, labels, np.ones(60)
    )
    write_coco_video(tmp_path / "gt.json", AnnotationSet(NAMES, {"v": truth}))
    (tmp_path / "scene.yaml").write_text(SCENE)
    return tmp_path


def rules(folder, *more):
    return main(["rules", "--scene", str(folder / "scene.yaml"), *map(str, more)])


def test_hits_of_tubes_and_of_truth(files, capsys):
    out = files / "hits"
    more = ["--size", 100, 200, "--clock", "9:00"]
    assert rules(files, "--tubes", files / "tubes.json", "--out", out, *more) == 0
    assert "2 hits in 1 videos" in capsys.readouterr().out
    rows = list(csv.DictReader((out / "hits.csv").open()))
    dwell, absence = rows
    assert (dwell["rule"], dwell["start_s"], dwell["end_s"], dwell["met_s"]) == (
        "hand in the bin",
        "0.00",
        "1.90",
        "1.00",
    )
    assert (dwell["time"], dwell["actor"], dwell["zone"]) == ("9:00:00.0", "0", "bin")
    assert (absence["rule"], absence["start_s"], absence["end_s"]) == ("unwiped", "0.00", "3.00")
    lines = [json.loads(line) for line in (out / "hits.jsonl").read_text().splitlines()]
    assert [line["rule"] for line in lines] == [row["rule"] for row in rows]
    assert lines[0]["score"] == pytest.approx(0.8)
    assert rules(files, "--tubes", files / "tubes.json", "--out", out, *more) == 2  # is there
    assert rules(files, "--ground-truth", files / "gt.json", "--out", files / "truth") == 0
    truth = list(csv.DictReader((files / "truth" / "hits.csv").open()))
    same = ("rule", "start_s", "end_s", "met_s", "actor")
    assert [[row[key] for key in same] for row in truth] == [
        [row[key] for key in same] for row in rows
    ]


def test_hits_are_posted_and_known_when_sent_again(files, capsys, monkeypatch):
    monkeypatch.delenv("STAD_WEBHOOK_SECRET", raising=False)
    arguments = ["--tubes", files / "tubes.json", "--size", 100, 200, "--out", files / "hits"]
    arguments += ["--webhook-folder", files / "webhook", "--overwrite"]
    with Receiver([500]) as receiver:
        assert rules(files, *arguments, "--webhook", receiver.address) == 0
        assert rules(files, *arguments, "--webhook", receiver.address) == 0
    sent = [json.loads(body) for _, body in receiver.got]
    written = [json.loads(line) for line in (files / "hits/hits.jsonl").read_text().splitlines()]
    assert len(sent) == 2 * len(written) and written
    for event, again, row in zip(sent, sent[len(written) :], written, strict=False):
        assert event == again and event["event"] == "hit"
        assert {key: event[key] for key in row} == row
    with Receiver([410] * len(written)) as receiver:
        assert rules(files, *arguments, "--webhook", receiver.address) != 0
    assert f"{len(written)} refused" in capsys.readouterr().err
    dead = (files / "webhook/dead.jsonl").read_text().splitlines()
    assert len(dead) == len(written)


def test_clips_of_footage_without_annotations(files, capsys):
    """The footage alone says the size and gives the clips."""
    (files / "videos").mkdir()
    write_numbered(files / "videos" / "v.mp4", count=60, size=(100, 200), rate=10)
    arguments = ["--tubes", files / "tubes.json", "--videos", files / "videos", "--clips"]
    assert rules(files, *arguments, "--clip-seconds", 0.5, "--out", files / "hits") == 0
    assert "2 hits in 1 videos" in capsys.readouterr().out
    clips = sorted((files / "hits").glob("*.mp4"))
    assert [clip.name for clip in clips] == ["v-0001.mp4", "v-0002.mp4"]
    clip = open_video(clips[0])  # of a hit from 0 to 1.9 s
    assert abs(len(clip) - 24) <= 1 and clip.size == (100, 200)
    (files / "videos" / "v.mp4").rename(files / "videos" / "w.mp4")
    assert rules(files, *arguments, "--out", files / "other") == 2
    assert "expected footage of the video 'v', found w" in capsys.readouterr().err


def test_mistakes(files, capsys):
    out, tubes = ["--out", files / "hits"], ["--tubes", files / "tubes.json"]
    for more, words in (
        ([*out, *tubes], "expected the size of its frames"),
        (out, "expected --tubes, --data or --ground-truth"),
        (tubes, "expected --out"),
        ([*out, *tubes, "--clips"], "expected --videos or --data"),
        ([*out, *tubes, "--videos", files / "none"], "expected a video or a folder"),
    ):
        assert rules(files, *more) == 2
        assert words in capsys.readouterr().err
    (files / "scene.yaml").write_text(SCENE.replace("[wipe]", "[wype]"))
    assert rules(files, *out, *tubes) == 2
    assert "did you mean wipe" in capsys.readouterr().err
    assert not (files / "hits").exists()


def test_check(files, capsys):
    assert rules(files, "--check") == 0
    assert "camera counter: 1 zones, 0 lines; rules: hand in the bin, unwiped" in (
        capsys.readouterr().out
    )


def test_check_against_classes_and_videos(files, capsys):
    tubes, truth = ["--tubes", files / "tubes.json"], ["--ground-truth", files / "gt.json"]
    assert rules(files, "--check", *tubes, *truth) == 0
    assert "its videos: v\n" in capsys.readouterr().out
    (files / "scene.yaml").write_text(SCENE.replace("[wipe]", "[wype]"))
    for more in (tubes, truth):
        assert rules(files, "--check", *more) == 2
        assert "did you mean wipe" in capsys.readouterr().err
    (files / "scene.yaml").write_text(SCENE.replace('"*"', "till"))
    assert rules(files, "--check", *truth) == 2
    assert "expected one camera of the video 'v', found none" in capsys.readouterr().err
    assert rules(files, "--check", "--data", files / "none.yaml") == 2


def test_a_scene_without_rules_is_told(files, capsys):
    scene = files / "scene.yaml"
    scene.write_text(SCENE[: SCENE.index("rules:")])
    assert rules(files, "--check") == 0  # a scene of counts, or one that is being drawn
    truth = ["--ground-truth", files / "gt.json", "--out", files / "hits"]
    assert rules(files, *truth) == 2
    assert "expected rules, found none" in capsys.readouterr().err


def test_a_rule_without_hits_says_how_far_it_came(files, capsys):
    (files / "scene.yaml").write_text(SCENE.replace("seconds: 1", "seconds: 1, min_score: 0.9"))
    more = ["--tubes", files / "tubes.json", "--size", 100, 200, "--out", files / "hits"]
    assert rules(files, *more) == 0
    said = capsys.readouterr().out
    assert "1 tubes of its classes, 0 of them with a score of 0.9 (min_score), 0 with" in said
    assert said.count("tubes of its classes") == 1  # of the rule without hits alone
