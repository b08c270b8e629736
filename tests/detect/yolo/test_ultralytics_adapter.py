import socket

import cv2
import numpy as np
import pytest

from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.yolo.ultralytics_adapter import (
    export_frames,
    predict_ultralytics,
    train_ultralytics,
)
from stadet.detect.yolo.ultralytics_body import read_ultralytics_checkpoint
from stadet.engine.errors import UserError

NAMES = ("left", "right")
SIZE = (48, 64)


def scene(frame):
    """A bright square on grey, left or right of the middle: (image, box, label)."""
    x = 6 + (frame * 7) % 34
    image = np.full((*SIZE, 3), 90, dtype=np.uint8)
    image[14:34, x : x + 20] = (220, 60, 20)
    return image, [x, 14, x + 20, 34], int(x + 10 > 32)


def annotations(names=NAMES, looked_at=(True,) * 12, video="cam/1"):
    frames = [f for f, seen in enumerate(looked_at) if seen and f != 3]  # frame 3 is a negative
    boxes = [scene(f)[1] for f in frames]
    labels = np.eye(len(names), dtype=bool)[[scene(f)[2] for f in frames]] if frames else []
    labels = np.reshape(labels, (-1, len(names)))
    one = VideoAnnotations.build(video, SIZE, 10, looked_at, frames, boxes, labels)
    return AnnotationSet(names, {video: one})


def read_frame(video, frame):
    return scene(frame)[0]


def test_export_holds_each_looked_at_frame_once(tmp_path):
    looked_at = (True, True, False, True, True)
    train = annotations(looked_at=looked_at)
    data = export_frames(train, annotations(), read_frame, tmp_path)
    labels = sorted((tmp_path / "labels" / "train").iterdir())
    assert [int(path.stem.split("_")[1]) for path in labels] == [0, 1, 3, 4]
    assert labels[2].read_text() == ""  # looked at, nothing there
    numbers = np.loadtxt(labels[0])
    _, box, label = scene(0)
    assert numbers[0] == label
    cx, cy, w, h = numbers[1:] * [SIZE[1], SIZE[0], SIZE[1], SIZE[0]]
    np.testing.assert_allclose([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], box, atol=1e-3)
    image = cv2.imread(str(tmp_path / "images" / "train" / f"{labels[0].stem}.jpg"))
    assert np.abs(image[..., ::-1].astype(int) - scene(0)[0]).mean() < 5
    assert data.names == NAMES


def test_several_labels_of_a_box_and_boxes_past_the_frame(tmp_path):
    one = VideoAnnotations.build("v", SIZE, 10, [True], [0], [[-10, 0, 32, 24]], [[True, True]])
    both = AnnotationSet(NAMES, {"v": one})
    export_frames(both, both, read_frame, tmp_path)
    (path,) = (tmp_path / "labels" / "val").iterdir()
    assert path.read_text().split("\n")[:2] == [
        f"{c} 0.250000 0.250000 0.500000 0.500000" for c in "01"
    ]


def test_bad_exports_are_refused(tmp_path):
    with pytest.raises(UserError, match="frames on the val side, found none"):
        export_frames(annotations(), annotations(looked_at=(False,) * 3), read_frame, tmp_path)
    with pytest.raises(UserError, match="one list of classes"):
        export_frames(annotations(), annotations(names=("a", "b")), read_frame, tmp_path)


def test_models_that_would_be_downloaded_or_are_unknown_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"yolov8n\.pt: expected a checkpoint, No such file"):
        list(predict_ultralytics("yolov8n.pt", [], NAMES))
    data = export_frames(annotations(), annotations(), read_frame, tmp_path)
    with pytest.raises(UserError, match="detector configurations"):
        train_ultralytics(data, tmp_path / "run", model="yolov99.yaml")


@pytest.mark.slow
def test_trains_and_predicts_offline(tmp_path, monkeypatch):
    reached = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: reached.append(where))
    monkeypatch.setattr(socket.socket, "connect", lambda _, where: reached.append(where))
    data = export_frames(annotations(), annotations(), read_frame, tmp_path / "data")
    best = train_ultralytics(
        data, tmp_path / "run", model="yolov8n.yaml", epochs=2, image_size=64, batch_size=4
    )
    frames = [("cam/1", f, scene(f)[0]) for f in range(5)]
    found = list(
        predict_ultralytics(best, frames, NAMES, score_floor=1e-6, image_size=64, batch_size=3)
    )
    assert [(video, frame) for video, frame, _ in found] == [("cam/1", f) for f in range(5)]
    for _, _, detections in found:
        assert len(detections) and detections.scores.shape[1] == 2
        assert np.isnan(detections.objectness).all()
        assert (detections.boxes >= 0).all() and (detections.boxes <= [64, 48, 64, 48]).all()
    with pytest.raises(
        UserError, match=r"expected the classes \('a', 'b'\), found \('left', 'right'\)"
    ):
        list(predict_ultralytics(best, frames, ("a", "b")))
    assert "model.0.conv.weight" in read_ultralytics_checkpoint(best)
    assert reached == []
