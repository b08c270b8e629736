"""From a detections file over tubes to the event log, through the command line."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import Detections
from stadet.detect.tubes.file import read_tubes
from stadet.tools.cli import main

ROOT = Path(__file__).resolve().parents[2]
BOX = np.array([[10.0, 20.0, 60.0, 120.0]])


@pytest.fixture
def detections(tmp_path):
    path = tmp_path / "found.jsonl"
    with DetectionsWriter(path, ("pour", "wipe"), 0.01) as writer:
        for frame in range(10, 40):
            scores = np.array([[0.8, 0.0 if frame < 25 else 0.6]])
            writer.write("shop/a", frame, Detections(BOX + frame, np.array([0.9]), scores))
        writer.processed("shop/a", 0, 99)
    return path


@pytest.mark.parametrize("flags", [[], ["--online"]])
def test_route(tmp_path, detections, flags, capsys):
    tubes, log = tmp_path / "tubes.json", tmp_path / "log"
    command = ["tubes", "--detections", str(detections), "--out", str(tubes), "--fps", "10"]
    assert main([*command, *flags]) == 0
    found = read_tubes(tubes)
    assert [(t.start, t.stop, t.label) for t in found.videos["shop/a"].tubes] == [
        (10, 40, 0),
        (25, 40, 1),
    ]
    assert found.videos["shop/a"].num_frames == 100
    assert found.linking["method"] == ("online" if flags else "offline")
    assert main(["events", "--tubes", str(tubes), "--out", str(log), "--clock", "9:30"]) == 0
    rows = list(csv.DictReader((log / "events.csv").open()))
    assert [(r["action"], r["start_s"], r["end_s"], r["time"]) for r in rows] == [
        ("pour", "1.00", "4.00", "9:30:01.0"),
        ("wipe", "2.50", "4.00", "9:30:02.5"),
    ]
    assert (log / "shop_a.png").exists() and (log / "counts.csv").exists()
    assert "2 events from 2 tubes" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, detections, capsys):
    tubes = tmp_path / "tubes.json"
    assert main(["tubes", "--detections", str(tmp_path / "no"), "--out", str(tubes)]) == 2
    assert main(["tubes", "--detections", str(detections), "--out", str(tubes)]) == 0
    capsys.readouterr()
    for wrong in ([], ["--fps", "-1"], ["--fps", "10", "--clock", "noon"]):
        assert main(["events", "--tubes", str(tubes), "--out", str(tmp_path / "l"), *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "l").exists()


def test_no_tube_is_explained(tmp_path, detections, capsys):
    tubes = tmp_path / "tubes.json"
    command = ["tubes", "--detections", str(detections), "--out", str(tubes)]
    assert main([*command, "--min-length", "50", "--fps", "10"]) == 0
    assert "no tube lasts 50 s; boxes more than 5 frames apart" in capsys.readouterr().out
    assert len(read_tubes(tubes)) == 0


def test_seconds_need_a_frame_rate(tmp_path, detections, capsys):
    command = ["tubes", "--detections", str(detections), "--out", str(tmp_path / "tubes.json")]
    for option in ("--min-length", "--max-gap"):
        assert main([*command, option, "1"]) == 2
        said = capsys.readouterr().err
        assert "expected a frame rate" in said and said.count("\n") == 1
        assert main([*command, option, "-1", "--fps", "10"]) == 2
        assert option in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["tubes", "events"])
def test_each_verb_is_also_a_script(verb):
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / f"{verb}.py", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "examples:" in done.stdout
