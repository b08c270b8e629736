"""stad filmstrip: an action and its reversal, with memory and without."""

import csv
from collections import defaultdict

import cv2
import numpy as np
import pytest
import torch

from stadet.datasets.clips.timing import Timing
from stadet.datasets.footage.video import Video
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.errors import UserError
from stadet.tools import filmstrip as verb
from stadet.tools.cli import run_verb
from stadet.tools.inference.filmstrip import FLOOR, filmstrip
from stadet.tools.inference.video_detector import open_detector
from tests.tools.small_checkpoints import NAMES, save_small_checkpoint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    kinds = ("recurrent-yolo", "yolo", "yowo")
    saved = {kind: save_small_checkpoint(folder / f"{kind}.pt", kind) for kind in kinds}
    content = load_checkpoint(saved["recurrent-yolo"])
    for name, weights in content["model"].items():
        if ".project." in name:  # starts at zero: a memory that changes nothing
            torch.nn.init.normal_(weights)
    save_checkpoint(saved["recurrent-yolo"], content)
    return saved


@pytest.fixture(scope="module")
def footage():
    frames = np.random.default_rng(0).integers(0, 256, (24, 32, 64, 3), dtype=np.uint8)
    return Video.from_array(frames, fps=12, name="counter")


def test_frames_alone_answer_the_same_backwards_and_memory_is_shown_both_ways(
    checkpoints, footage, tmp_path
):
    found = filmstrip(
        footage,
        checkpoints["recurrent-yolo"],
        tmp_path,
        against=checkpoints["yolo"],
        start=0.5,
        seconds=1.0,
    )
    stretch = np.stack([frame for _, frame in footage.read(range(6, 19))])
    assert found.scores["as filmed", "memory"].shape == (13, len(NAMES))
    frame_by_frame = found.scores["as filmed", "against"]
    assert frame_by_frame.max() > 0.01
    np.testing.assert_allclose(
        found.scores["backwards", "against"], frame_by_frame[::-1], atol=1e-6
    )
    stream = open_detector(checkpoints["recurrent-yolo"], score_floor=FLOOR).stream()
    for frame, best in zip(stretch[::-1], found.scores["backwards", "memory"], strict=True):
        np.testing.assert_allclose(stream(frame).scores.max(axis=0, initial=0), best, atol=1e-6)
    forwards = found.scores["as filmed", "memory"]
    assert not np.allclose(forwards, found.scores["backwards", "memory"][::-1], atol=1e-5)
    with found.table.open(newline="") as stream_of_rows:
        rows = list(csv.DictReader(stream_of_rows))
    columns = defaultdict(list)
    for row in rows:
        columns[row["direction"], row["model"]].append([float(row[name]) for name in NAMES])
    for key, values in found.scores.items():
        np.testing.assert_allclose(columns[key], values, atol=5e-5)
    assert [int(r["frame"]) for r in rows[:13]] == list(range(6, 19))
    assert [int(r["frame"]) for r in rows[-13:]] == list(range(18, 5, -1))
    picture = cv2.imread(str(found.picture))
    assert picture.shape[1] == 1200
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


def test_frames_are_those_of_the_training_rate(tmp_path, footage):
    timed = save_small_checkpoint(tmp_path / "timed.pt", "recurrent-yolo", Timing(6.0))
    found = filmstrip(footage, timed, tmp_path / "out", seconds=1.0)
    rows = list(csv.DictReader(found.table.open(newline="")))
    assert [int(r["frame"]) for r in rows[: len(rows) // 2]] == [0, 2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "yolo"}, "detector with memory"),
        ({"classes": ["pick upp"]}, "pick up"),
        ({"start": 9.0}, "within 0 to 1.92 s"),
        ({"start": -1.0}, "within 0 to 1.92 s"),
        ({"seconds": 0.01}, "at least two frames"),
    ],
)
def test_what_cannot_be_shown_is_told(checkpoints, footage, tmp_path, options, message):
    options = dict(options)
    checkpoint = checkpoints[options.pop("checkpoint", "recurrent-yolo")]
    with pytest.raises(UserError, match=message):
        filmstrip(footage, checkpoint, tmp_path, **options)
    assert not any(tmp_path.iterdir())


def test_the_verb_writes_once(checkpoints, tmp_path, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((32, 64, 3), 40 * number, np.uint8))
    arguments = [str(folder), "--checkpoint", str(checkpoints["recurrent-yolo"])]
    arguments += ["--out", str(tmp_path / "strip"), "--class", "pick up"]
    assert run_verb(verb, arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].endswith("filmstrip.csv")
    assert run_verb(verb, arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run_verb(verb, [*arguments, "--overwrite"]) == 0
