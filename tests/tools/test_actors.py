import csv

import numpy as np
import pytest

from stadet.datasets.footage.writer import VideoWriter
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import write_detections
from stadet.engine.errors import UserError
from stadet.tools.actors import add_actors, scene_cuts_of
from stadet.tools.cli import main

NAMES = ("take", "put")


@pytest.fixture(autouse=True)
def package():
    pytest.importorskip("trackers")


def detections(frames=30, clock=None):
    """A hand that takes, is hidden for five frames, and puts."""
    seen = np.array([f for f in range(frames) if not 12 <= f < 17])
    left = 20 + 2.0 * seen
    scores = np.zeros((len(seen), 2))
    scores[np.arange(len(seen)), (seen >= 12).astype(int)] = 0.9
    video = VideoDetections(
        "kitchen",
        seen,
        np.stack([left, left * 0 + 10, left + 30, left * 0 + 60], axis=1),
        np.full(len(seen), np.nan),
        scores,
        np.array([[0, frames - 1]]),
        clock,
    )
    return DetectionSet(NAMES, 0.1, {"kitchen": video})


@pytest.mark.parametrize("method", ["cbiou", "bytetrack", "tubes"])
def test_one_hand_is_one_actor_in_file_tubes_and_events(tmp_path, capsys, method):
    write_detections(tmp_path / "d.jsonl", detections(clock=Clock(10.0)))
    out = tmp_path / "a.jsonl"
    arguments = ["actors", "--detections", str(tmp_path / "d.jsonl"), "--out", str(out)]
    assert main([*arguments, "--method", method]) == 0
    assert "1 actors in 1 videos" in capsys.readouterr().out
    ids = read_detections(out).videos["kitchen"].actor_ids
    assert set(ids[1:].tolist()) == {0}
    assert main([*arguments, "--method", method]) == 2  # it is there already
    tubes = ["tubes", "--detections", str(out), "--out", str(tmp_path / "t.json")]
    assert main([*tubes, "--min-length", "0.3"]) == 0
    log = ["events", "--tubes", str(tmp_path / "t.json"), "--out", str(tmp_path / "log")]
    assert main([*log, "--no-plot"]) == 0
    with open(tmp_path / "log" / "events.csv", newline="") as stream:
        rows = [(row["action"], row["actor"]) for row in csv.DictReader(stream)]
    assert rows == [("take", "0"), ("put", "0")]


def test_a_table_and_the_file_itself(tmp_path):
    path = tmp_path / "d.jsonl"
    write_detections(path, detections(clock=Clock(10.0)))
    add_actors(path, out=path)
    again = add_actors(path, out=tmp_path / "t.csv")
    assert again.videos["kitchen"].actor_ids.tolist() == (
        read_detections(path).videos["kitchen"].actor_ids.tolist()
    )
    with open(tmp_path / "t.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 25 and rows[0]["actor"] == "" and rows[-1]["actor"] == "0"
    assert (rows[-1]["seconds"], rows[-1]["class"], rows[-1]["x1"]) == ("2.900", "put", "78.0")


def test_a_rate_is_needed_and_given(tmp_path, capsys):
    write_detections(tmp_path / "d.jsonl", detections())
    arguments = ["actors", "--detections", str(tmp_path / "d.jsonl")]
    arguments += ["--out", str(tmp_path / "a.jsonl")]
    assert main(arguments) == 2
    assert "kitchen: expected its frames a second" in capsys.readouterr().err
    assert not (tmp_path / "a.jsonl").exists()
    assert main([*arguments, "--fps", "0"]) == 2
    assert main([*arguments, "--fps", "10"]) == 0


def test_a_cut_of_the_footage_begins_anew(tmp_path):
    """Ten dark frames, then bright ones."""
    with VideoWriter(tmp_path / "kitchen.mp4", (64, 96), 10) as writer:
        for frame in range(30):
            writer.write(np.full((64, 96, 3), 20 if frame < 20 else 220, np.uint8))
    assert scene_cuts_of("kitchen", tmp_path / "kitchen.mp4") == (20,)
    found = detections(clock=Clock(10.0))
    whole = add_actors(found).videos["kitchen"]
    cut = add_actors(found, videos=tmp_path / "kitchen.mp4").videos["kitchen"]
    before = whole.frames < 20
    assert cut.actor_ids[before].tolist() == whole.actor_ids[before].tolist()
    assert cut.actor_ids[-1] == 1 and whole.actor_ids[-1] == 0
    with pytest.raises(UserError, match="expected the video 'kitchen'"):
        scene_cuts_of("kitchen", {"hall": tmp_path / "kitchen.mp4"})
