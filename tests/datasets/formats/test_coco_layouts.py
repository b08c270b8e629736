"""COCO files of other programs: images without videos, TAO, YouTube-VIS."""

import json

import numpy as np
import pytest

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.coco_video import read_coco_video
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

INFO = {
    "kitchen": VideoInfo("kitchen", (64, 160), 30.0, 20),
    "cam_1": VideoInfo("cam_1", (64, 160), 30.0, 20),
}
KINDS = [{"id": 3, "name": "pick", "supercategory": ""}, {"id": 5, "name": "put"}]
ROWS = [
    {"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 5, 30, 20], "iscrowd": 0},
    {"id": 2, "image_id": 8, "category_id": 3, "bbox": [0, 0, 8, 9], "iscrowd": 1},
]


def coco(tmp_path, *names, **changes):
    images = [
        {"id": 7 + n, "file_name": name, "width": 160, "height": 64} for n, name in enumerate(names)
    ]
    content = {"categories": KINDS, "images": images, "annotations": ROWS[: len(names)], **changes}
    path = tmp_path / "instances_default.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("names", "video"),
    [
        (("kitchen/000003.jpg", "kitchen/000004.jpg"), "kitchen"),
        (("train/kitchen_3.png", "val/kitchen_4.png"), "kitchen"),
        (("kitchen_mp4-3_jpg.rf.0a1b2c.jpg", "kitchen_mp4-4_jpg.rf.ff.jpg"), "kitchen"),
        (("cam_1_000003.jpg", "cam_1_frame_000004.jpg"), "cam_1"),
        (("images\\kitchen\\img_00003.jpg", "images\\kitchen\\img_00004.jpg"), "kitchen"),
    ],
)
def test_images_without_videos_are_placed_by_their_names(tmp_path, names, video):
    found = read_coco_video(coco(tmp_path, *names), videos=INFO)
    assert found.names == ("pick", "put") and list(found.videos) == [video]
    truth = found.videos[video]
    assert np.flatnonzero(truth.looked_at).tolist() == [3, 4]
    assert truth.frames.tolist() == [3, 4] and truth.ignored.tolist() == [False, True]
    np.testing.assert_array_equal(truth.boxes, [[10, 5, 40, 25], [0, 0, 8, 9]])
    assert truth.labels.argmax(axis=1).tolist() == [1, 0]


def test_names_of_cvat_need_one_video_and_count_from_first_frame(tmp_path):
    path = coco(tmp_path, "frame_000000.PNG", "frame_000001.PNG")
    alone = {"kitchen": INFO["kitchen"]}
    assert read_coco_video(path, videos=alone).videos["kitchen"].frames.tolist() == [0, 1]
    with pytest.raises(UserError, match=r"of the videos cam_1, kitchen, found 'frame_0"):
        read_coco_video(path, videos=INFO)
    extracted = coco(tmp_path, "frame_1.jpg", "frame_20.jpg")  # by ffmpeg, which counts from 1
    with pytest.raises(UserError, match="set first_frame: 1"):
        read_coco_video(extracted, videos=alone)
    truth = read_coco_video(extracted, videos=alone, first_frame=1).videos["kitchen"]
    assert truth.frames.tolist() == [0, 19]


def test_images_of_other_footage_are_told(tmp_path):
    findings = Findings()
    path = coco(tmp_path, "kitchen_3.jpg", "garden_4.jpg")
    found = read_coco_video(path, videos=INFO, findings=findings)
    assert found.videos["kitchen"].frames.tolist() == [3]
    assert "1 images of no video of the footage left out" in findings.lines()[0]
    with pytest.raises(UserError, match="give the footage"):
        read_coco_video(path)


def test_a_heading_of_roboflow_is_no_class(tmp_path):
    kinds = [{"id": 0, "name": "hands", "supercategory": "none"}]
    kinds += [{**kind, "supercategory": "hands"} for kind in KINDS]
    path = coco(tmp_path, "kitchen_3.jpg", "kitchen_4.jpg", categories=kinds)
    assert read_coco_video(path, videos=INFO).names == ("pick", "put")


def test_a_class_that_is_its_own_group_stays_where_nothing_shows_it(tmp_path):
    """As COCO's `person` in a file without people: every file has the same classes."""
    person = {"id": 0, "name": "person", "supercategory": "person"}
    path = coco(tmp_path, "kitchen_3.jpg", "kitchen_4.jpg", categories=[person, *KINDS])
    assert read_coco_video(path, videos=INFO).names == ("person", "pick", "put")


def test_tao(tmp_path):
    images = [{"id": 7, "video_id": 1, "frame_index": 12, "file_name": "val/kitchen/frame0013.jpg"}]
    rows = [{**ROWS[0], "track_id": 4, "video_id": 1}]
    videos = [{"id": 1, "name": "val/kitchen", "width": 160, "height": 64}]
    path = coco(tmp_path, images=images, annotations=rows, videos=videos)
    truth = read_coco_video(path, videos=INFO).videos["kitchen"]
    assert truth.frames.tolist() == [12] and truth.track_ids.tolist() == [4]


def test_youtube_vis(tmp_path):
    """Five frames apart; the object is not seen in the second."""
    files = ["kitchen/00000.jpg", "kitchen/00005.jpg", "kitchen/00010.jpg"]
    videos = [{"id": 1, "file_names": files, "width": 160, "height": 64, "length": 3}]
    track = {"id": 9, "video_id": 1, "category_id": 5, "bboxes": [[1, 2, 3, 4], None, [2, 2, 3, 4]]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"videos": videos, "categories": KINDS, "annotations": [track]}))
    truth = read_coco_video(path, videos=INFO).videos["kitchen"]
    assert np.flatnonzero(truth.looked_at).tolist() == [0, 5, 10]
    assert truth.frames.tolist() == [0, 10] and truth.track_ids.tolist() == [9, 9]
    np.testing.assert_array_equal(truth.boxes[1], [2, 2, 5, 6])
