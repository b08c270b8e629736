"""Every reader with a sound file to start from."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stadet.anchors.anchors import Anchors
from stadet.datasets.dataset import read_dataset_file
from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.act_pickle import read_act_pickle, read_act_split
from stadet.datasets.formats.ava import read_ava, read_ava_detections
from stadet.datasets.formats.ava_evaluation import read_ava_columns
from stadet.datasets.formats.ava_labels import read_label_map
from stadet.datasets.formats.coco_video import read_coco_video
from stadet.datasets.formats.cvat import read_cvat
from stadet.datasets.formats.fiftyone import read_fiftyone
from stadet.datasets.formats.jhmdb21 import read_jhmdb21
from stadet.datasets.formats.label_studio import read_label_studio
from stadet.datasets.formats.ucf24 import read_ucf24
from stadet.datasets.formats.yolo_txt import read_yolo_txt
from stadet.datasets.formats.yowo_layout import read_yowo_layout
from stadet.datasets.labelled.keypoints import read_keypoint_set, read_label_encoder
from stadet.datasets.labelled.lists import read_hmdb51, read_jester, read_ucf101
from stadet.datasets.splits.lists import read_video_list
from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.recode import recode_detections
from stadet.detect.scene.file import read_scene
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.tubes.file import read_tubes

VIDEOS = {
    "v": VideoInfo("v", (64, 112), 15.0, 20),
    "w": VideoInfo("w", (64, 112), 15.0, 5),
    "A/v": VideoInfo("A/v", (240, 320), 25.0, 20),
}
COCO = {
    "videos": [
        {"id": 1, "name": "v", "width": 112, "height": 64, "fps": 15.0, "length": 20},
        {"id": 2, "name": "w", "width": 112, "height": 64, "fps": 15.0, "length": 5},
    ],
    "images": [{"id": 1 + i, "video_id": 1, "frame_id": i} for i in range(4)]
    + [{"id": 9, "video_id": 2, "frame_id": 0}],
    "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "track_id": 1, "bbox": [1, 1, 20.5, 20]},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [5, 5, 20, 20], "iscrowd": 1},
    ],
}
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"video": "/data/upload/0a1b2c3d-v.mp4"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [
                    {
                        "id": "r",
                        "type": "videorectangle",
                        "value": {
                            "framesCount": 20,
                            "duration": 1.4,
                            "labels": ["a"],
                            "sequence": [
                                {
                                    "frame": frame,
                                    "enabled": frame < 9,
                                    "x": 1.5 * frame,
                                    "y": 2,
                                    "width": 20,
                                    "height": 30,
                                    "rotation": 30 if frame == 4 else 0,
                                    "time": frame / 15,
                                }
                                for frame in (2, 4, 9)
                            ],
                        },
                    }
                ],
            }
        ],
    }
]
FIFTYONE = {
    "frames": {
        "2": {
            "frame_number": 2,
            "objects": {
                "objects": [
                    {
                        "label": "a",
                        "index": 3,
                        "bounding_box": {
                            "top_left": {"x": 0.1, "y": 0.2},
                            "bottom_right": {"x": 0.4, "y": 0.9},
                        },
                    }
                ]
            },
        },
        "5": {"frame_number": 5},
    }
}
FIFTYONE_MANIFEST = b'{"index": [{"data": "data/v.mp4", "labels": "v.json"}]}'
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>1</id><name>v</name><size>20</size>
<start_frame>0</start_frame><stop_frame>19</stop_frame><frame_filter>step=1</frame_filter><labels>
<label><name>a</name><attributes><attribute><name>act</name><input_type>select</input_type>
<values>p
q</values></attribute></attributes></label><label><name>b</name></label></labels>
<original_size><width>112</width><height>64</height></original_size><source>v.mp4</source></task>
</meta><track id="0" label="a" group_id="1">
<box frame="2" outside="0" keyframe="1" xtl="1.5" ytl="2" xbr="20" ybr="30" rotation="30">
<attribute name="act">p</attribute></box>
<box frame="6" outside="0" keyframe="1" xtl="4" ytl="2" xbr="24" ybr="30">
<attribute name="act">q</attribute></box>
<box frame="9" outside="1" keyframe="1" xtl="4" ytl="2" xbr="24" ybr="30"></box></track>
<track id="1" label="b"><polygon frame="3" outside="0" keyframe="1" points="1,1;30,1;30,20"/>
<ellipse frame="4" outside="0" keyframe="1" cx="30" cy="30" rx="5" ry="9"/>
<mask frame="5" outside="0" keyframe="1" rle="1,2" left="3" top="4" width="5" height="6"/>
<skeleton frame="6"><points label="1" points="5,5"/><points label="2" points="9,9"/></skeleton>
</track></annotations>
"""
IMAGES = """<annotations><meta><task><name>v</name><labels><label><name>a</name></label></labels>
</task></meta><image id="3" name="frame_000003" width="112" height="64"><box label="a" xtl="1"
ytl="2" xbr="20" ybr="30" rotation="10"/></image></annotations>"""
AVA = "v,902,0.1,0.1,0.5,0.5,1,0\nv,902,0.1,0.1,0.5,0.5,2,0\nv,903\nw,901,0.2,0.2,0.6,0.7,2,4\n"
DETECTIONS = "\n".join(
    [
        '{"schema": "stad-detections/1", "categories": [{"id": 1, "name": "a"}, {"id": 2, '
        '"name": "b"}], "score_floor": 0.02}',
        '{"video": "v", "frame": 0, "bbox": [1.0, 2.0, 10.0, 12.0], "objectness": 0.9, "scores": '
        '{"1": 0.5, "2": 0.1}}',
        '{"video": "v", "frame": 1, "bbox": [1.0, 2.0, 10.0, 12.0], "objectness": null, "scores": '
        '{"1": 0.5}}',
        '{"video": "v", "processed": [0, 3], "fps": 15, "times": [0, 0.1, 0.2, 0.4]}',
        '{"video": "w", "processed": [0, 4]}\n',
    ]
)
TUBES = {
    "schema": "stad-tubes/1",
    "names": ["a", "b"],
    "linking": {"iou": 0.3},
    "videos": {
        "v": {
            "fps": 15.0,
            "num_frames": 20,
            "tubes": [
                {"id": 0, "class": "a", "score": 0.5, "start": 3, "boxes": [[1, 2, 3, 4]] * 3}
            ],
        }
    },
}
SCENE = """schema: stad-scene/1
cameras:
  counter:
    videos: ["*"]
    zones: {bin: [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5]]}
    lines: {door: [[0.5, 1], [0.5, 0]]}
rules:
  - {name: hand, kind: presence, classes: [hand], zone: bin, seconds: 0.5, cooldown: 5}
  - {name: out, kind: crossing, line: door, direction: left_to_right}
  - {name: cut, kind: sequence, steps: [{classes: [a]}, {zone: bin}], within: 60}
counts:
  one_action: true
  meals: {items: {item: {classes: [a], zone: bin}}, back: [b], checkout: [c], pause: 90}
  stock: {take: [a], put: [b], bins: {bin: {initial: 3}, all: {zone: null}}}
  use: {hands: [a, b]}
  shifts: {lunch: ["11:00", "15:00"], night: ["22:00", "02:00"]}
"""
DATASET = """format: cvat
videos: videos
annotations: annotations
names: [a, b]
annotation_size: [64, 112]
looked_at: {v: [[0, 3], [7, 9]]}
views: {one: [v, w]}
split: {method: blocks, block_seconds: 0.4, val: 0.3}
"""
ANCHORS = """schema: stad-anchors/1
network_size: [288, 512]
levels:
- {stride: 8, sizes: [[10.5, 12], [20, 30]]}
- {stride: 16, sizes: [[40, 60]]}
"""


@dataclass(frozen=True)
class Target:
    """A reader under test.

    name: of the file that is mutated, below a folder of its own; content: a sound one; read: calls
    the reader on that folder; others: further files of the folder, which stay as they are.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    others: dict[str, bytes]


def _target(name: str, content: str | bytes | dict | list, read, **others: bytes) -> Target:
    if isinstance(content, (dict, list)):
        content = json.dumps(content)
    content = content.encode() if isinstance(content, str) else content
    return Target(name, content, read, {k.replace("__", "/"): v for k, v in others.items()})


def _parquet() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        text, path = Path(folder) / "d.jsonl", Path(folder) / "d.parquet"
        text.write_text(DETECTIONS)
        recode_detections(text, path)
        return path.read_bytes()


def truth() -> AnnotationSet:
    """Two videos without boxes."""
    none = np.zeros((0, 4))
    videos = {
        name: VideoAnnotations.build(
            name, info.size, info.fps, np.ones(info.num_frames, bool), [], none, np.zeros((0, 2))
        )
        for name, info in VIDEOS.items()
    }
    return AnnotationSet(("a", "b"), videos)


def targets() -> dict[str, Target]:
    """Name -> target."""
    labels = {"map.csv": b"1,a\n2,b\n"}
    ava = {"label_map": "map.csv", "key_seconds": (900, 905)}
    act = {
        "labels": ["a", "b"],
        "gttubes": {"v": {0: [np.array([[1, 1, 2, 20, 30.5], [2, 1, 2, 20, 30]])]}},
        "nframes": {"v": 20},
        "resolution": {"v": (64, 112)},
        "train_videos": [["v"]],
        "test_videos": [["v"]],
    }
    boxes = np.array([[1, 2, 30, 40], [2, 3, 30, 40]], dtype=np.uint8)
    ucf = {
        "A/v": {"numf": 20, "annotations": [{"label": 0, "sf": 1, "ef": 3, "boxes": boxes}]},
    }
    frames, keypoints = np.zeros((2, 3, 4, 4, 3), np.uint8), np.zeros((2, 3, 5), np.float32)
    encoder = json.dumps({"a": 0, "b": 1}).encode()
    arrays = {
        "label_encoder.json": encoder,
        "train/X_train_frames.npy": _npy(frames),
        "train/X_train_keypoints.npy": _npy(keypoints),
        "train/y_train.npy": _npy(np.array([0, 1])),
    }
    found = {
        "coco": _target("a.json", COCO, lambda p: read_coco_video(p / "a.json")),
        "coco with footage": _target(
            "a.json", COCO, lambda p: read_coco_video(p / "a.json", videos=VIDEOS)
        ),
        "label studio": _target(
            "a.json",
            LABEL_STUDIO,
            lambda p: read_label_studio(p / "a.json", videos=VIDEOS),
        ),
        "fiftyone": Target(
            "v.json",
            json.dumps(FIFTYONE).encode(),
            lambda p: read_fiftyone(p, videos=VIDEOS),
            {"manifest.json": FIFTYONE_MANIFEST},
        ),
        "fiftyone manifest": Target(
            "manifest.json",
            FIFTYONE_MANIFEST,
            lambda p: read_fiftyone(p, videos=VIDEOS),
            {"v.json": json.dumps(FIFTYONE).encode()},
        ),
        "coco results": Target(
            "r.json",
            json.dumps(
                [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]
            ).encode(),
            lambda p: read_detections(p / "r.json", truth(), ground_truth_json=p / "a.json"),
            {"a.json": json.dumps(COCO).encode()},
        ),
        "cvat": _target("v.xml", CVAT, lambda p: read_cvat(p / "v.xml", videos=VIDEOS)),
        "cvat attribute": _target(
            "v.xml", CVAT, lambda p: read_cvat(p / "v.xml", videos=VIDEOS, action="act")
        ),
        "cvat images": _target("v.xml", IMAGES, lambda p: read_cvat(p, videos=VIDEOS)),
        "cvat zip": _target("v.zip", _zipped(CVAT), lambda p: read_cvat(p, videos=VIDEOS)),
        "ava": Target("t.csv", AVA.encode(), lambda p: read_ava(p / "t.csv", **ava), labels),
        "ava detections": Target(
            "d.csv",
            b"v,1,0.1,0.1,0.5,0.5,1,0.5\nw,0,0.1,0.1,0.5,0.5,2,0.25\n",
            lambda p: read_ava_detections(p / "d.csv", truth(), "map.csv"),
            labels,
        ),
        "ava columns": Target(
            "d.csv",
            b"v,902,0.1,0.1,0.5,0.5,1,0.5\nw,901,0.1,0.1,0.5,0.5,2,0.25\n",
            lambda p: read_ava_columns(p / "t.csv", p / "d.csv"),
            {"t.csv": AVA.encode()},
        ),
        "label map csv": _target(
            "m.csv", "id,name\n1,a\n2,b c\n", lambda p: read_label_map(p / "m.csv")
        ),
        "label map": _target(
            "m.pbtxt",
            "item {\n name: \"sit\"\n id: 11\n}\nlabel {\n name: 'b'\n label_id: 2\n}\n",
            lambda p: read_label_map(p / "m.pbtxt"),
        ),
        "yolo labels": Target(
            "labels/v/00001.txt",
            b"0 0.5 0.5 0.2 0.2\n1 0.4 0.4 0.1 0.1\n",
            lambda p: read_yolo_txt(p, videos=VIDEOS),
            {"data.yaml": b"names: [a, b]\n"},
        ),
        "yolo names": Target(
            "data.yaml",
            b"names:\n  0: a\n  1: b\nfirst_frame: 1\nnc: 2\n",
            lambda p: read_yolo_txt(p, videos=VIDEOS),
            {"labels/v/00001.txt": b"0 0.5 0.5 0.2 0.2\n"},
        ),
        "yowo labels": Target(
            "labels/A/v/00001.txt",
            b"1 10 10 50 60\n1 20 20 60 70\n",
            lambda p: read_yowo_layout(p, videos=VIDEOS, names=["A", "B"]),
            {},
        ),
        "yowo list": Target(
            "trainlist.txt",
            b"labels/A/v/00001.txt\nlabels/A/w/00003.txt\n",
            lambda p: read_yowo_layout(p, videos=VIDEOS, names=["A", "B"]),
            {"labels/A/v/00001.txt": b"1 10 10 50 60\n"},
        ),
        "act pickle": _target("GT.pkl", pickle.dumps(act), lambda p: read_act_pickle(p / "GT.pkl")),
        "act pickle with footage": _target(
            "GT.pkl",
            pickle.dumps(act, protocol=2),
            lambda p: (
                read_act_pickle(p / "GT.pkl", videos=VIDEOS),
                read_act_split(p / "GT.pkl", "train", 1),
            ),
        ),
        "ucf24 pickle": _target(
            "a.pkl", pickle.dumps(ucf, protocol=2), lambda p: read_ucf24(p / "a.pkl")
        ),
        "ucf24 pickle with footage": _target(
            "a.pkl", pickle.dumps(ucf), lambda p: read_ucf24(p / "a.pkl", videos=VIDEOS)
        ),
        "ucf24 mat": _target("a.mat", _ucf_mat(boxes), lambda p: read_ucf24(p / "a.mat")),
        "jhmdb21 mat": _target(
            "A/v/puppet_mask.mat",
            _mask_mat(),
            lambda p: read_jhmdb21(p, videos=VIDEOS, names=["A"]),
        ),
        "detections": _target("d.jsonl", DETECTIONS, lambda p: read_detections(p / "d.jsonl")),
        "detections with truth": _target(
            "d.jsonl", DETECTIONS, lambda p: read_detections(p / "d.jsonl", truth())
        ),
        "detections in parquet": _target(
            "d.parquet", _parquet(), lambda p: read_detections(p / "d.parquet", truth())
        ),
        "tubes": _target("t.json", TUBES, lambda p: read_tubes(p / "t.json")),
        "scene file": _target("s.yaml", SCENE, lambda p: read_scene(p / "s.yaml")),
        "data set file": _target("d.yaml", DATASET, lambda p: read_dataset_file(p / "d.yaml")),
        "anchors": _target("a.yaml", ANCHORS, lambda p: Anchors.load(p / "a.yaml")),
        "video list": _target(
            "list.txt",
            "A/v/00001.txt\nv.avi 1\nw\n",
            lambda p: read_video_list("list.txt", truth(), p),
        ),
        "label encoder": _target(
            "e.json", {"a": 0, "b": "1"}, lambda p: read_label_encoder(p / "e.json")
        ),
        "ucf101 list": Target(
            "trainlist01.txt",
            b"A/v_A_g01_c01.avi 1\n",
            lambda p: read_ucf101(p, p),
            {
                "classInd.txt": b"1 A\n",
                "testlist01.txt": b"A/v_A_g02_c01.avi\n",
                "A/v_A_g01_c01.avi": b"",
                "A/v_A_g02_c01.avi": b"",
            },
        ),
        "hmdb51 list": Target(
            "a_test_split1.txt",
            b"x_a_1.avi 1\ny_a_1.avi 2\n",
            lambda p: read_hmdb51(p, p),
            {"a/x_a_1.avi": b"", "a/y_a_1.avi": b""},
        ),
        "jester list": Target(
            "train.csv",
            b"1;a\n2;b\n",
            lambda p: read_jester(p, p),
            {"1/1.jpg": b"", "2/1.jpg": b""},
        ),
    }
    for name in arrays:
        rest = {other: content for other, content in arrays.items() if other != name}
        found[f"keypoints {name}"] = Target(
            name, arrays[name], lambda p: read_keypoint_set(p, "train", num_keypoints=5), rest
        )
    return found


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _zipped(text: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("task_1/annotations.xml", text)
    return stream.getvalue()


def _ucf_mat(boxes: np.ndarray) -> bytes:
    from scipy.io import savemat

    def struct(**fields: object) -> np.ndarray:
        array = np.zeros((1, 1), dtype=[(name, object) for name in fields])
        for name, value in fields.items():
            array[name][0, 0] = value
        return array

    tube = struct(**{"class": 1, "sf": 1, "ef": 2, "boxes": boxes.astype(np.float64)})
    stream = io.BytesIO()
    savemat(stream, {"annot": struct(name="A/v", num_imgs=20, tubes=tube)})
    return stream.getvalue()


def _mask_mat() -> bytes:
    from scipy.io import savemat

    masks = np.zeros((24, 32, 3), dtype=np.uint8)
    masks[4:9, 3:7, :2] = 1
    stream = io.BytesIO()
    savemat(stream, {"part_mask": masks})
    return stream.getvalue()
