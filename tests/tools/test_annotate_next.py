"""`stad annotate-next`: a table and tasks for CVAT."""

import csv
import json
import shlex

import numpy as np

from stadet.detect.detections.reader import DetectionsWriter
from stadet.detect.structures import Detections
from stadet.tools.cli import main
from tests.datasets.numbered_videos import write_numbered


def write(path, doubtful):
    with DetectionsWriter(path, ("wipe", "cut"), 0.05) as writer:
        for frame in range(40):
            score = 0.5 if frame in doubtful else 0.98
            found = Detections(np.array([[5.0, 5, 30, 30]]), np.ones(1), np.array([[score, 0]]))
            writer.write("monday", frame, found)
        writer.processed("monday", 0, 39)


def test_a_table_and_a_command_for_each_stretch(tmp_path, capsys):
    (tmp_path / "my videos").mkdir()
    write_numbered(tmp_path / "my videos" / "monday.mp4", count=40, size=(48, 64))
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    write(one, range(20, 30))
    write(two, ())
    out = tmp_path / "next"
    videos = str(tmp_path / "my videos")
    base = ["annotate-next", videos, "--seconds", "0.34", "--count", "2", "--apart", "0"]
    for files in ([one], [one, two]):
        place = tmp_path / f"next{len(files)}"
        command = [*base, "--detections", *map(str, files), "--out", str(place)]
        assert main(command) == 0, capsys.readouterr().err
        with open(place / "stretches.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert (rows[0]["video"], int(rows[0]["first"]), int(rows[0]["last"])) == ("monday", 20, 29)
        assert rows[0]["label"] == "wipe"
        jobs = json.loads((place / "jobs.json").read_text())
        assert (jobs[0]["start_frame"], jobs[0]["stop_frame"]) == (20, 29)
        lines = (place / "jobs.sh").read_text().splitlines()
        assert lines[0].startswith("#") and len(lines) == 1 + len(rows)
        words = shlex.split(lines[1])
        assert words[:4] == ["cvat-cli", "$CVAT", "task", "create"]
        assert words[-1].endswith("my videos/monday.mp4") and words[-2] == "local"
        assert json.loads((place / "labels.json").read_text())[0]["name"] == "wipe"
        assert main(command) == 2  # a folder is never merged
        assert "expected a new or an empty folder" in capsys.readouterr().err
    assert main([*base, "--detections", *map(str, [one, two, one]), "--out", str(out)]) == 2
    assert "expected one file or two, found 3" in capsys.readouterr().err
    assert main([*base, "--detections", str(one), "--out", str(out), "--rarity", "2"]) == 2
    assert "--rarity" in capsys.readouterr().err
