"""Footage on disk read back as a data set."""

import json

import numpy as np
import pytest

from stadet.datasets.dataset import load_dataset
from stadet.datasets.restaurant import FootageConfig, Scene
from stadet.datasets.restaurant.facts import read_facts
from stadet.engine.errors import UserError
from stadet.tools import make_footage
from stadet.tools.cli import run_verb

FLAGS = (
    "--minutes 0.4 --scenes 2 --size 64 112 --hand-scale 2 --unseen-share 0.2 --imperfect "
    "--still-share 1"
)
CONFIG = FootageConfig(
    minutes=0.4,
    scenes=2,
    size=(64, 112),
    hand_scale=2,
    unseen_share=0.2,
    imperfect=True,
    still_share=1,
)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage") / "data"
    assert run_verb(make_footage, ["--out", str(folder), *FLAGS.split()]) == 0
    return folder


def test_written_footage_reads_back_as_it_was_made(footage):
    for file_name, imperfect in (("dataset.yaml", True), ("dataset_clean.yaml", False)):
        data = load_dataset(footage / file_name)
        assert len(data.annotations.videos) == 4
        for number in range(2):
            scene = Scene(CONFIG, number)
            assert tuple(data.names) == scene.classes.names
            for view in CONFIG.view_names:
                made = scene.annotations(view, imperfect=imperfect)
                read = data.annotations.videos[made.name]
                assert read.size == made.size and read.fps == pytest.approx(made.fps)
                np.testing.assert_array_equal(read.looked_at, made.looked_at)
                assert not made.looked_at.all()
                order = [np.lexsort((v.boxes[:, 0], v.frames)) for v in (read, made)]
                np.testing.assert_array_equal(read.frames[order[0]], made.frames[order[1]])
                np.testing.assert_array_equal(read.labels[order[0]], made.labels[order[1]])
                np.testing.assert_allclose(read.boxes[order[0]], made.boxes[order[1]], atol=1e-3)


def test_videos_show_the_pictures(footage):
    data = load_dataset(footage / "dataset.yaml")
    scene = Scene(CONFIG, 1)
    video = data.open_video("counter01_side")
    assert len(video) == len(scene)
    for index, picture in video.frames():
        error = np.abs(picture.astype(int) - scene.frame("side", index)).mean()
        assert error < 8  # compression; another frame or view is far beyond


def test_data_set_file_names_views_reversals_and_split(footage):
    data = load_dataset(footage / "dataset.yaml")
    assert data.views["counter00"] == ["counter00_front", "counter00_side"]
    assert data.views["counter01"] == ["counter01_front", "counter01_side"]
    assert data.reverses["put back in bin with tongs"] == "pick up from bin with tongs"
    assert data.reverses["pick up from bin with tongs"] == "put back in bin with tongs"


def test_facts_are_written_last_and_say_the_parameters(footage):
    facts = json.loads((footage / "restaurant.json").read_text())
    assert facts["parameters"]["size"] == [64, 112] and facts["seed"] == 0
    assert set(facts["videos"]) == {f"counter0{n}_{v}" for n in (0, 1) for v in CONFIG.view_names}


def test_facts_read_back(footage, tmp_path):
    facts = read_facts(footage / "restaurant.json")
    assert facts.reversed_pairs[0][0] == "pick up from bin with tongs"
    assert facts.views["counter01_side"] == "side"
    truth = load_dataset(footage / "dataset_clean.yaml").annotations
    stops = [(name, stop) for name, found in facts.stops.items() for stop in found]
    assert stops
    for name, stop in stops:
        for frame in range(stop.first, stop.last + 1):
            boxes = truth.videos[name][frame].boxes
            assert np.abs(boxes - stop.box).max(axis=1).min() < 0.01
    for content in ("", "{}", "[]", '{"schema": "other/1"}'):
        (tmp_path / "facts.json").write_text(content)
        with pytest.raises(UserError, match=r"facts\.json.*: expected"):
            read_facts(tmp_path / "facts.json")
    with pytest.raises(UserError, match="found none"):
        read_facts(tmp_path / "missing.json")


def test_a_full_folder_is_kept_unless_overwriting(footage, tmp_path, capsys):
    small = ["--minutes", "0.1", "--scenes", "1", "--views", "1", "--size", "64", "112"]
    assert run_verb(make_footage, ["--out", str(footage), *small]) == 2
    message = capsys.readouterr().err
    assert "--overwrite" in message and message.count("\n") == 1
    assert (footage / "videos" / "counter01_side.mp4").exists()
    folder = tmp_path / "data"
    assert run_verb(make_footage, ["--out", str(folder), *small, "--imperfect"]) == 0
    (folder / "videos" / "mine.txt").write_text("kept")
    small[1] = "0.05"
    assert run_verb(make_footage, ["--out", str(folder), *small, "--overwrite"]) == 0
    assert (folder / "videos" / "mine.txt").exists()
    assert not (folder / "dataset_clean.yaml").exists()
    assert not list(folder.glob("annotations_clean/*"))


def test_a_file_in_place_of_the_folder_is_named(tmp_path, capsys):
    (tmp_path / "data").write_text("")
    assert run_verb(make_footage, ["--out", str(tmp_path / "data")]) == 2
    assert "expected a folder" in capsys.readouterr().err
