"""Public functions called with something of another kind."""

import inspect
import re
import typing

import numpy as np
import pytest

import stadet

UNCHECKED = {  # they take no argument, or look at arrays themselves
    "UserError",
    "config_names",
    "hide_progress",
    "pairwise_iou",
}
FUNCTIONS = [
    name
    for name in stadet.__all__
    if inspect.isroutine(getattr(stadet, name)) and name not in UNCHECKED
]
CLASSES = ["ActorTracker", "Canvas", "DetectionsWriter", "FrameMAP", "OnlineLinker"]
CLASSES += ["VideoMAP", "VideoWriter"]


class Stranger:
    """Of no kind that any function takes."""


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_argument_of_another_kind_is_one_line(name):
    function = getattr(stadet, name)
    first = next(iter(inspect.signature(function).parameters))
    needed = {
        key: Stranger()
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    needed[first] = Stranger()
    with pytest.raises(TypeError, match=rf"^{name}: {first}: expected .*, found Stranger$"):
        function(**needed)


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_defaults_fit_their_annotations(name):
    from stadet.engine.signatures import fitting

    function = getattr(stadet, name)
    function = function.__init__ if inspect.isclass(function) else function
    inner = inspect.unwrap(function)
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty:
            fits = fitting(parameter.annotation, inner.__globals__)
            assert fits(parameter.default), key


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_a_name_that_only_type_checkers_import_is_a_class(name):
    """The check knows classes by name; an alias that is not there at run time fits nothing."""
    function = getattr(stadet, name)
    function = inspect.unwrap(function.__init__ if inspect.isclass(function) else function)
    words = set()
    for parameter in inspect.signature(function).parameters.values():
        if isinstance(parameter.annotation, str):
            words |= set(re.findall(r"\b[A-Z]\w+", re.sub(r"'.*?'", "", parameter.annotation)))
    known = {*stadet.__all__, *dir(typing), *function.__globals__, "None", "Path", "PathLike"}
    assert words - known <= {"Protocol", "Scene", "Fraction", "Clock", "DetectionTracks"}


def test_the_usual_slips():
    with pytest.raises(TypeError, match=r"found str 'x.yaml'; stadet.load_config\(stadet.TrainCo"):
        stadet.train("x.yaml")
    with pytest.raises(TypeError, match=r"found str 'x.json'; stadet.read_tubes\(path\) reads one"):
        stadet.find_events("x.json")
    with pytest.raises(TypeError, match=r"names: expected Sequence.*found str 'wipe'"):
        stadet.FrameMAP("wipe")
    with pytest.raises(TypeError, match=r"names: expected Sequence.*found str 'wipe'"):
        stadet.AnnotationSet("wipe")


def test_paths_and_numbers_of_numpy_are_welcome(tmp_path):
    metric = stadet.FrameMAP(np.array(["wipe", "cut"]))
    assert metric.names == ("wipe", "cut")
    with stadet.VideoWriter(tmp_path / "a.mp4", np.array([32, 48]), np.float32(5)) as writer:
        writer.write(np.zeros((32, 48, 3), np.uint8))
    assert stadet.open_video(tmp_path / "a.mp4").size == (32, 48)


def frame(**other):
    given = {"boxes": np.zeros((1, 4)), "objectness": np.ones(1), "scores": np.full((1, 1), 0.9)}
    return stadet.Detections(**{**given, "names": ("wipe",), "frame": 0, **other})


def truth(**other):
    given = {"name": "a", "size": (4, 4), "fps": 5.0, "looked_at": np.ones(2), "frames": [0]}
    given |= {"boxes": [[0, 0, 2, 2]], "labels": [[True]]}
    return stadet.VideoAnnotations.build(**{**given, **other})


def image():
    return np.zeros((8, 8, 3), np.uint8)


SLIPS = {
    "names as a text": (lambda: frame(names="w"), TypeError, "Detections: names"),
    "a list of boxes": (lambda: frame(boxes=[[0, 0, 1, 1]]), ValueError, "boxes.*found list"),
    "other boxes": (lambda: frame(scores=np.ones((2, 1))), ValueError, "scores.*found"),
    "a class of no kind": (lambda: frame().with_classes(None), TypeError, "found None"),
    "no detections": (lambda: stadet.Detections.merge([1]), TypeError, "found int"),
    "paths to collect": (lambda: stadet.collect_detections(["a"]), TypeError, "found str 'a'"),
    "fewer boxes": (lambda: truth(frames=[0, 1]), ValueError, r"boxes \(2, 4\).*found \(1, 4\)"),
    "another size": (lambda: truth(size="4x4"), TypeError, "size: expected tuple.*found str"),
    "videos in a list": (
        lambda: stadet.AnnotationSet(("wipe",), [truth()]),
        TypeError,
        "videos: expected Mapping.*found list of VideoAnnotations",
    ),
    "three sides": (
        lambda: stadet.pairwise_iou(np.ones((4, 3)), np.ones((1, 4))),
        ValueError,
        r"a: expected boxes \(N, 4\), found shape \(4, 3\)",
    ),
    "an empty name": (
        lambda: stadet.write_tubes("", stadet.TubeSet(("wipe",))),
        stadet.UserError,
        "expected the name of a file to write",
    ),
    "a limit as a text": (
        lambda: stadet.ActorOptions(min_score="high"),
        stadet.UserError,
        "expected a number, found str 'high'",
    ),
    "no rate": (
        lambda: stadet.VideoWriter("a.mp4", (4, 4), float("nan")),
        stadet.UserError,
        "fps: expected a number above 0, found nan",
    ),
    "fewer names": (
        lambda: stadet.draw_detections(image(), frame(), []),
        ValueError,
        "expected a name for each of 1 classes, found 0",
    ),
    "a float image": (
        lambda: stadet.draw_detections(np.zeros((8, 8, 3)), frame()),
        ValueError,
        "uint8, found float64",
    ),
    "a turned image": (
        lambda: stadet.draw_detections(image()[..., ::-1], frame()),
        ValueError,
        "image.copy",
    ),
    "no seeds": (
        lambda: stadet.cross_validate(None, ["data.root=x"], "out", seeds=[]),
        stadet.UserError,
        "expected 2 or more folds and different seeds",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_one_line(slip):
    call, kind, line = SLIPS[slip]
    with pytest.raises(kind, match=line) as caught:
        call()
    assert "\n" not in str(caught.value)
