"""A model from outside the tree: one recipe and one configuration, through the ordinary verbs."""

import json
import subprocess
import sys

import pytest
import yaml

from stadet.detect.detections.reader import read_detections
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.errors import UserError
from stadet.engine.runlog import read_events
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training import recipe as recipes
from stadet.tools.training.config import TrainConfig
from stadet.tools.training.recipe import BUILT_IN, Recipe, find_recipe, recipe_names, register
from tests.conftest import ROOT
from tests.tools.toy_recipe import ToyRecipe

PLACE = "tests.tools.toy_recipe:ToyRecipe"


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    monkeypatch.setattr(recipes, "_registered", {})
    monkeypatch.delenv(recipes.TRUSTED, raising=False)


def configuration(footage, folder, **changes):
    content = {
        "model": PLACE,
        "output": str(folder / "run"),
        "data": {
            "dataset": str(footage.dataset),
            "size": [32, 48],
            "resize": "stretch",
            "workers": 0,
        },
        "toy": {"channels": 6},
        "loop": {"max_steps": 3, "log_every": 1, "optimiser": {"lr": 0.01}},
        **changes,
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "toy.yaml")


@pytest.fixture(scope="module")
def run(footage, tmp_path_factory):
    """The folder of a finished run of the toy."""
    folder = tmp_path_factory.mktemp("toy")
    assert main(["train", configuration(footage, folder)]) == 0
    return folder / "run"


def test_it_trains_as_configured(run):
    losses = [event["class"] for event in read_events(run / "metrics.jsonl", "train")]
    assert len(losses) == 3
    assert yaml.safe_load((run / "config.yaml").read_text())["toy"] == {"channels": 6}
    assert not (run / "anchors.yaml").exists()
    find_recipe(PLACE)  # as the user who trusts it
    detector = open_detector(run / "best.pt")
    assert detector.model.hidden.out_channels == 6 and detector.anchors is None
    assert json.loads((run / "report" / "metrics.json").read_text())["frame_map_50"] >= 0


def test_it_predicts_evaluates_and_exports(run, footage, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv(recipes.TRUSTED, PLACE)
    best, file = str(run / "best.pt"), str(tmp_path / "toy.onnx")
    eager, exported = tmp_path / "eager.jsonl", tmp_path / "exported.jsonl"
    start = [
        "predict",
        str(footage.video),
        "--device",
        "cpu",
        "--max-frames",
        "20",
        "--for-evaluation",
    ]
    assert main([*start, "--checkpoint", best, "--out", str(eager)]) == 0
    assert main(["export", "--checkpoint", best, "--out", file]) == 0
    runtime = ("--runtime", "onnx")
    assert main([*start, "--checkpoint", file, "--out", str(exported), *runtime]) == 0
    ours, theirs = (read_detections(path).videos[footage.video.stem] for path in (eager, exported))
    assert len(ours.frames) == 20
    assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)
    report = ["evaluate", "--checkpoint", best, "--out", str(tmp_path / "report")]
    assert main([*report, "--bootstrap", "0", "--gallery", "0"]) == 0


def test_a_run_goes_on(run, capsys):
    assert main(["train", "--resume", str(run)]) == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("toy.channels=0", "toy.channels: expected at least 1, found 0"),
        ("toy.chanels=2", "unknown key 'toy.chanels' (did you mean toy.channels"),
        ("model=yolo", "unknown key 'toy'"),
        ("model=toys", "ultralytics, recurrent-ultralytics, or module:Class"),
        ("model=yollo", "did you mean yolo"),
        ("model=tests.absent:Toy", "expected a recipe at tests.absent:Toy, found none"),
        ("model=tests.tools.toy_recipe:Toy", "found none"),
        ("model=tests.tools.toy_recipe:not_a_recipe", "expected a subclass of stadet's Recipe"),
        ("model=tests.tools.toy_recipe:Clashing", "the key 'yowo' is taken"),
        ("model=3", "model: expected a name, found 3"),
    ],
)
def test_a_wrong_configuration_is_one_line(footage, tmp_path, capsys, setting, message):
    assert main(["train", configuration(footage, tmp_path), setting]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1, said


def test_a_checkpoint_does_not_choose_which_code_runs(run, tmp_path):
    content = load_checkpoint(run / "best.pt")
    content["config"]["model"] = "antigravity:Recipe"  # a module that opens a browser
    save_checkpoint(tmp_path / "a.pt", {k: v for k, v in content.items() if k != "schema"})
    with pytest.raises(UserError, match="set STADET_RECIPES=antigravity:Recipe"):
        open_detector(tmp_path / "a.pt")
    assert "antigravity" not in sys.modules


def test_a_short_name(footage, tmp_path):
    register("toy", ToyRecipe)
    register("toy", ToyRecipe)  # as a module that is imported again does
    assert recipe_names() == [*BUILT_IN, "toy"] and find_recipe("toy") is ToyRecipe
    with pytest.raises(UserError, match="'toy': the name is taken"):
        register("toy", type("Another", (Recipe,), {}))
    with pytest.raises(UserError, match="'yolo': the name is taken"):
        register("yolo", ToyRecipe)
    config = configuration(footage, tmp_path, model="toy")
    assert main(["train", config, "loop.max_steps=1"]) == 0
    assert open_detector(tmp_path / "run" / "best.pt").config.model == "toy"


def test_an_entry_point(tmp_path):
    """A package that is installed, by its metadata alone."""
    (tmp_path / "toy-1.0.dist-info").mkdir()
    (tmp_path / "toy-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{recipes.ENTRY_POINTS}]\ntoy = {PLACE}\n"
    )
    (tmp_path / "toy-1.0.dist-info" / "METADATA").write_text("Name: toy\nVersion: 1.0\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from stadet.tools.training.recipe import find_recipe, recipe_names\n"
        "assert 'toy' in recipe_names()\n"
        "assert find_recipe('toy', may_import=False).__name__ == 'ToyRecipe'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_recipe_is_whole(name):
    config = TrainConfig(model=name)
    config.recipe.check()
    assert isinstance(config.recipe.own, config.recipe.section)
    wanted = config.recipe.anchors()
    if "ultralytics" in name:
        assert wanted is None
    else:
        assert wanted.strides == ((32,) if name == "yowo" else (8, 16, 32))
