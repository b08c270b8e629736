"""Every verb has a function with typed arguments, whose defaults are the command line's."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from stadet.tools import cli

TOOLS = Path(cli.__file__).parent
FUNCTIONS = {
    "demo": "training.demo:demo",
    "describe": "data.describe:describe",
    "convert": "data.convert:convert",
    "pre-annotate": "data.pre_annotate:pre_annotate",
    "annotate-next": "data.annotate_next:annotate_next",
    "make-clips": "data.clips:make_clips",
    "kmeans-anchors": "data.anchors:kmeans_anchors",
    "make-keypoints": "data.keypoints:make_keypoints",
    "train": "training.train:train",
    "train-classifier": "classification.train:train_classifier",
    "train-ultralytics": "training.ultralytics:train_ultralytics",
    "import-weights": "import_weights:import_weights",
    "evaluate": "evaluation.evaluate:evaluate_detections",
    "compare": "compare:compare",
    "run": "inference.run:run_videos",
    "predict": "inference.predict:predict",
    "fleet": "cluster.fleet:run_fleet",
    "export": "export:export",
    "benchmark": "inference.benchmark:benchmark",
    "actors": "actors:add_actors",
    "tubes": "tubes:link_tubes",
    "events": "events:log_events",
    "rules": "rules:apply_rules",
    "counts": "counts:take_counts",
    "render": "inference.render:render",
    "grid-search": "classification.grid:grid_search",
    "cross-validate": "classification.cross_validation:cross_validate",
    "classify": "classification.classify:classify",
    "explain": "inference.explain:explain",
    "filmstrip": "inference.filmstrip:filmstrip",
}
OTHERWISE = {  # the command line tells "not given" from the default, or takes another form
    ("train", "resume"),  # the run's folder, in Python a flag beside the configuration
    ("train-classifier", "resume"),
    ("predict", "runtime"),  # one option of four, in Python RuntimeOptions
    ("run", "runtime"),
    ("export", "int8"),
    ("export", "calibration_clips"),
    ("kmeans-anchors", "size"),
    ("kmeans-anchors", "resize"),
    ("kmeans-anchors", "strides"),
    ("kmeans-anchors", "seed"),
    ("describe", "resize"),
    ("rules", "clock"),
    ("events", "clock"),  # h:mm:ss, in Python seconds
}


def function_of(verb):
    module, _, name = FUNCTIONS[verb].partition(":")
    return getattr(importlib.import_module(f"stadet.tools.{module}"), name)


def plain(value):
    return tuple(value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_functions_are_typed_documented_and_have_the_verbs_defaults(verb):
    function = function_of(verb)
    signature = inspect.signature(function)
    annotations = [p.annotation for p in signature.parameters.values()]
    assert inspect.Parameter.empty not in [*annotations, signature.return_annotation]
    text = inspect.getdoc(function)
    for name in signature.parameters:
        assert f"    {name}: " in text or f"{name}, " in text or f", {name}:" in text, name
    parser = cli.verb_module(verb).build_parser()
    options = {action.dest: action.default for action in parser._actions}
    for name, parameter in signature.parameters.items():
        if name in options and parameter.default is not parameter.empty:
            if (verb, name) in OTHERWISE:
                continue
            given = options[name] if options[name] != [] else ()
            assert plain(given) == plain(parameter.default), name


def test_only_the_verbs_run_functions_see_the_command_line():
    takers = {}
    for path in TOOLS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                given = [a.annotation for a in node.args.args + node.args.kwonlyargs]
                if any(a is not None and "Namespace" in ast.unparse(a) for a in given):
                    takers[f"{path.relative_to(TOOLS)}:{node.name}"] = path
    assert {place.split(":")[1] for place in takers} <= {"run"}, sorted(takers)


def test_tools_holds_the_verbs_and_cli_alone():
    files = {path.stem for path in TOOLS.glob("*.py")} - {"__init__", "cli"}
    assert files == {verb.replace("-", "_") for verb in cli.VERBS}


def test_what_verbs_are_for_is_said_once():
    assert list(cli.summaries()) == list(cli.VERBS)
    assert len(set(cli.summaries().values())) == len(cli.VERBS)
