"""Counts of live streams: files by day, the page, and the command."""

import csv
import json
import time
from datetime import datetime, timedelta
from urllib.request import urlopen

import numpy as np
import pytest

from stadet.detect.scene.live_counts import TubeBox
from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.streams.counts_board import CountsBoard
from stadet.tools.streams.page import LivePage
from tests.datasets.numbered_videos import write_numbered
from tests.detect.scene.test_file import read
from tests.tools.small_checkpoints import save_small_checkpoint

SCENE = """\
schema: stad-scene/1
cameras:
  front: {videos: ["front*"], zones: {tuna: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}}
  side: {videos: ["side*"]}
counts:
  cameras: [front]
  stock: {take: [take], bins: {tuna: {initial: 9}}}
"""
BOX = np.array([10.0, 10, 30, 30])


def take(counter, start, board):
    """A piece is taken, then nothing happens for a second."""
    for frame in range(20):
        boxes = [TubeBox(int(start), 0, BOX, 0.9)] if frame < 10 else []
        counter.update(start + frame / 10, boxes, (100, 200), board.time_of_day())


def stock(path):
    return [int(row["stock"]) for row in csv.DictReader((path / "stock.csv").open())]


def test_days_follow_each_other_and_leave_their_stock(tmp_path):
    now, said = datetime(2026, 11, 27, 22, 0), []
    board = CountsBoard(
        read(tmp_path, SCENE), tmp_path / "c", ["front 1"], clock=lambda: now, notify=said.append
    )
    counter = board.counter("front 1", ("take",))
    board.write()
    assert not (tmp_path / "c").exists()  # nothing was seen yet
    take(counter, 5.0, board)
    now += timedelta(hours=5)  # three at night: still this day
    take(counter, 18_005.0, board)
    board._end_day()
    board.write()
    evening = tmp_path / "c" / "2026-11-27"
    assert stock(evening) == [9, 8, 7]
    assert board.lines == ["front 1: tuna: 9 - 2 + 0 = 7"] and "tuna" in board.page
    times = [row["time"] for row in csv.DictReader((evening / "stock.csv").open())]
    assert times[-1].startswith("27:00:0")  # midnight and three hours
    now += timedelta(hours=1, minutes=1)
    board._end_day()
    take(counter, 23_000.0, board)
    board.write()
    assert stock(evening) == [9, 8, 7] and stock(tmp_path / "c" / "2026-11-28") == [7, 6]
    assert sum("counts.html" in line for line in said) == 2
    again = CountsBoard(read(tmp_path, SCENE), tmp_path / "c", ["front 1"], clock=lambda: now)
    assert again._folder().name == "2026-11-28-2"


def test_a_full_disk_is_told_once_and_files_come_later(tmp_path, monkeypatch):
    said = []
    board = CountsBoard(
        read(tmp_path, SCENE), tmp_path / "c", ["front"], seconds=0.01, notify=said.append
    )
    take(board.counter("front", ("take",)), 0.0, board)
    write, full = board.write, [True] * 3

    def failing():
        if full:
            full.pop()
            raise UserError("no space")
        write()

    monkeypatch.setattr(board, "write", failing)
    with board:
        while full or not (board.folder / "stock.csv").exists():
            time.sleep(0.01)
    assert sum("no space" in line for line in said) == 1 and stock(board.folder) == [9, 8]


@pytest.mark.parametrize(
    ("streams", "words"),
    [(["front 1", "front 2"], "expected one stream of a camera"), (["side"], "found none")],
)
def test_streams_that_cannot_be_counted(tmp_path, streams, words):
    with pytest.raises(UserError, match=words):
        CountsBoard(read(tmp_path, SCENE), tmp_path / "c", streams)
    assert not (tmp_path / "c").exists()


def test_the_page_shows_them(tmp_path):
    board = CountsBoard(read(tmp_path, SCENE), tmp_path / "c", ["front", "side"])
    assert board.counter("side", ("take",)) is None
    with LivePage(["front"], 0, counts=board) as page:
        assert "Nothing was counted" in urlopen(page.address + "counts.html").read().decode()
        take(board.counter("front", ("take",)), 0.0, board)
        board.write()
        with urlopen(page.address + "counts.html") as answer:
            assert answer.read().decode() == board.page and answer.headers["Refresh"]
        lines = json.load(urlopen(page.address + "counts.json"))
        assert lines == ["front: tuna: 9 - 1 + 0 = 8"]
        assert 'href="counts.html"' in urlopen(page.address).read().decode()


def test_the_command(tmp_path, capsys):
    write_numbered(tmp_path / "front.mp4", count=24, rate=24)
    save_small_checkpoint(tmp_path / "best.pt", "yolo")
    (tmp_path / "scene.yaml").write_text(SCENE.replace("take: [take]", "take: [pick up]"))
    arguments = [str(tmp_path / "front.mp4"), "--checkpoint", str(tmp_path / "best.pt")]
    arguments += ["--counts", str(tmp_path / "c"), "--device", "cpu", "--threshold", "0.0001"]
    assert main(["live", *arguments]) == 2
    assert "expected --scene" in capsys.readouterr().err
    assert main(["live", *arguments, "--scene", str(tmp_path / "scene.yaml")]) == 0
    (folder,) = (tmp_path / "c").iterdir()
    assert str(folder / "counts.html") in capsys.readouterr().err
    found = json.loads((folder / "counts.json").read_text())
    assert [video["name"] for video in found["videos"]] == ["front"]
    assert found["videos"][0]["watched_s"] == pytest.approx(23 / 24, abs=0.01)
