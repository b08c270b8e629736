"""The auto-annotation function under CVAT's own loader, driver and types, without a server."""

import importlib.util
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import stadet
from stadet.tools.inference import cvat_function
from stadet.tools.inference.cvat_function import DetectorFunction, create

auto_annotation = pytest.importorskip("cvat_sdk.auto_annotation")
pytest.importorskip("cvat_cli")
from cvat_cli._internal.common import FunctionLoader  # noqa: E402
from cvat_sdk import models  # noqa: E402
from cvat_sdk.auto_annotation import driver  # noqa: E402
from PIL import Image  # noqa: E402

FLOOR = 0.0005  # the checkpoint of the tests is hardly trained


def context(name="frame_000000", threshold=None):
    return driver._DetectionFunctionContextImpl(
        frame_name=name, conf_threshold=threshold, conv_mask_to_poly=False
    )


def frames(footage, count=6):
    from stadet.datasets.footage.video import open_video

    return [frame for _, frame in open_video(footage.video).read(range(count))]


@pytest.fixture(scope="module")
def loaded(trained):
    """As `cvat-cli task auto-annotate --function-file .. -p checkpoint=str:..` loads it."""
    path = Path(importlib.util.find_spec(cvat_function.__name__).origin)
    parameters = {"checkpoint": str(trained / "best.pt"), "threshold": FLOOR, "score_floor": FLOOR}
    return FunctionLoader(None, path, parameters).load()


def test_its_labels_are_the_checkpoints_classes(loaded, trained):
    names = stadet.open_detector(trained / "best.pt").names
    assert isinstance(loaded.spec, auto_annotation.DetectionFunctionSpec)
    assert [(label.name, label.id, label.type) for label in loaded.spec.labels] == [
        (name, number, "rectangle") for number, name in enumerate(names)
    ]


class Task:
    """Stands for a task on a server: its labels under ids of its own, three images, uploads."""

    def __init__(self, names, images):
        self.labels = [
            models.Label(name=name, id=100 + k, type="rectangle", attributes=[], sublabels=[])
            for k, name in enumerate(names)
        ]
        self.samples = [
            SimpleNamespace(
                frame_name=f"counter/{k:05d}.jpg",
                frame_index=k,
                media=SimpleNamespace(load_image=lambda image=image: Image.fromarray(image)),
            )
            for k, image in enumerate(images)
        ]
        self.logger = logging.getLogger("test")
        api = SimpleNamespace(partial_update_annotations=self.upload)
        self.tasks = SimpleNamespace(api=api)

    def upload(self, action, task, *, patched_labeled_data_request):
        assert (action, task) == ("create", 12)
        self.shapes = patched_labeled_data_request.shapes


def test_cvats_driver_takes_the_detectors_boxes(loaded, trained, footage, monkeypatch):
    images = frames(footage, 3)
    detector = stadet.open_detector(trained / "best.pt", score_floor=FLOOR)
    task = Task(detector.names[::-1], images)
    monkeypatch.setattr(driver, "TaskDataset", lambda client, number, **_: client)
    auto_annotation.annotate_task(task, 12, loaded)
    assert all(isinstance(shape, models.LabeledShapeRequest) for shape in task.shapes)
    stream, count = detector.stream(), len(detector.names)
    for frame, image in enumerate(images):
        found = stream(image).above(FLOOR)
        rows, classes, _ = found.pairs()
        shapes = [shape for shape in task.shapes if shape.frame == frame]
        assert len(shapes) == len(rows) > 0
        assert [shape.label_id for shape in shapes] == (100 + count - 1 - classes).tolist()
        points = [shape.points for shape in shapes]
        np.testing.assert_allclose(points, found.boxes[rows], atol=1e-3)


def test_cvats_threshold_goes_before_the_parameter(loaded, footage):
    image = Image.fromarray(frames(footage, 1)[0])
    assert loaded.detect(context(threshold=1.0), image) == []
    assert len(loaded.detect(context(threshold=0.0), image)) >= len(loaded.detect(context(), image))


class Stream:
    """Says how many frames it has seen since it began."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.count = 0

    def __call__(self, pixels):
        self.count += 1
        boxes = np.array([[0.0, 0, self.count, 9]])
        return stadet.Detections(boxes, np.ones(1), np.ones((1, 1)))


class Detector:
    names = ("a",)
    threshold = 0.5

    def __init__(self):
        self._predictor = SimpleNamespace(model=SimpleNamespace(needs_later_frames=False))

    def stream(self):
        return Stream()


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (["frame_000003", "frame_000004", "frame_000005"], [1, 2, 3]),
        (["v/0010.jpg", "v/0015.jpg", "v/0020.jpg"], [1, 2, 3]),  # every fifth frame
        (["0010.jpg", "0015.jpg", "0016.jpg"], [1, 2, 1]),  # a jump
        (["0005.jpg", "0004.jpg"], [1, 1]),
        (["0005.jpg", "0500.jpg"], [1, 1]),
        (["a/01.png", "b/02.png"], [1, 1]),  # another folder, another video
        (["cat.jpg", "dog.jpg"], [1, 1]),
    ],
)
def test_memory_lasts_as_long_as_frames_follow_each_other(names, seen):
    function = DetectorFunction(Detector())
    image = Image.new("L", (16, 12))  # grey is made RGB
    widths = [function.detect(context(name), image)[0].points[2] for name in names]
    assert widths == seen


def test_without_the_sdk_one_line_says_what_to_do(monkeypatch, trained):
    import sys

    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(stadet.UserError, match=r"pip install 'stadet\[cvat\]'"):
        create(str(trained / "best.pt"))
