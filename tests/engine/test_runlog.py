import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from stadet.engine import runlog
from stadet.engine.errors import UserError
from stadet.engine.runlog import RunLog, read_events


def test_events_append_filter_and_rewind(tmp_path):
    log = RunLog(tmp_path / "run")
    for step in range(3):
        log.event("train", step, loss=step / 2)
    log.event("validation", 2, frame_map_50=0.5)
    assert [e["loss"] for e in log.events("train")] == [0.0, 0.5, 1.0]
    log.rewind(1)
    assert [(e["event"], e["step"]) for e in log.events()] == [("train", 0), ("train", 1)]


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    log = RunLog(tmp_path)
    log.event("train", 1, loss=1.0)
    with open(log.path, "a") as stream:
        stream.write('{"event": "train", "st')
    assert len(read_events(log.path)) == 1


@pytest.mark.parametrize(
    "line", ["{broken", "[1]", '{"step": 1}', '{"event": 3, "step": 1}', "\x00\xff", "[" * 100_000]
)
def test_a_broken_line_is_named(tmp_path, line):
    log = RunLog(tmp_path)
    log.event("train", 1, loss=1.0)
    with open(log.path, "a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: expected an event"):
        read_events(log.path)


def test_a_validation_that_is_due_again_is_dropped(tmp_path):
    log = RunLog(tmp_path)
    log.event("validation", 3, epoch=1, score=0.1)
    log.event("train", 6, loss=1.0)
    log.event("validation", 6, epoch=2, score=0.2)
    log.rewind(6, 2)
    assert len(log.events()) == 3
    log.rewind(6, 1)
    assert [(e["event"], e["step"]) for e in log.events()] == [("validation", 3), ("train", 6)]


def test_csv_has_a_column_for_every_value(tmp_path):
    log = RunLog(tmp_path)
    log.event("train", 1, loss=1.0)
    log.event("train", 2, loss=0.5, lr=0.1)
    log.write_csv("train", tmp_path / "train.csv")
    rows = list(csv.DictReader((tmp_path / "train.csv").read_text().splitlines()))
    assert [(r["step"], r["loss"], r["lr"]) for r in rows] == [
        ("1", "1.0", ""),
        ("2", "0.5", "0.1"),
    ]


def test_environment_names_versions_and_what_the_caller_adds(tmp_path):
    RunLog(tmp_path).write_environment(seed=3)
    content = json.loads((tmp_path / "environment.json").read_text())
    assert content["seed"] == 3 and content["packages"]["torch"]


def test_a_disabled_log_writes_nothing(tmp_path):
    log = RunLog(tmp_path / "run", enabled=False)
    log.event("train", 1, loss=1.0)
    log.write_environment()
    log.rewind(0)
    assert not (tmp_path / "run").exists() and log.events() == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file is where a folder is needed"):
        RunLog(tmp_path / "file" / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_is_one_line(tmp_path):
    log = RunLog(tmp_path)
    log.path.symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full"):
        log.event("train", 1, loss=1.0)


def test_the_revision_is_the_toolkits_and_not_that_of_a_repository_around_it(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "engine").mkdir()
    git("commit", "--allow-empty", "-m", "first")
    monkeypatch.setattr(runlog, "__file__", str(tmp_path / "engine" / "runlog.py"))
    assert re.fullmatch("[0-9a-f]{12}", runlog.git_revision())
    inside = tmp_path / "site-packages" / "stadet" / "engine" / "runlog.py"
    inside.parent.mkdir(parents=True)
    monkeypatch.setattr(runlog, "__file__", str(inside))
    assert runlog.git_revision() is None
