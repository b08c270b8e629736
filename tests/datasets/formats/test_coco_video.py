"""COCO-video: writing and reading agree, pycocotools reads it, broken files give one line."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.coco_video import read_coco_video, write_coco_video
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings


@st.composite
def annotation_sets(draw):
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    classes = draw(st.integers(1, 4))
    videos = {}
    for name in ["a", "Class/b"][: draw(st.integers(0, 2))]:
        length, size = int(rng.integers(1, 30)), (int(rng.integers(20, 90)), 64)
        looked_at = rng.random(length) < rng.random()
        seen = np.flatnonzero(looked_at)
        count = int(rng.integers(0, 12)) if len(seen) else 0
        corner = rng.uniform(0, 15, (count, 2))
        boxes = np.column_stack([corner, corner + rng.uniform(0.5, 5, (count, 2))])
        labels = rng.random((count, classes)) < 0.4
        labels[np.arange(count), rng.integers(0, classes, count)] = True
        tracks = rng.choice([NO_TRACK, 0, 1, 5], count)
        frames = rng.choice(seen, count) if count else []
        videos[name] = VideoAnnotations.build(
            name, size, 29.97, looked_at, frames, boxes, labels, tracks, rng.random(count) < 0.2
        )
    return AnnotationSet(tuple(f"class {c}" for c in range(classes)), videos)


@settings(max_examples=60, deadline=None)
@given(annotation_sets())
def test_round_trip(tmp_path_factory, annotations):
    path = tmp_path_factory.mktemp("coco") / "gt.json"
    write_coco_video(path, annotations)
    findings = Findings()
    back = read_coco_video(path, findings=findings)
    assert back.names == annotations.names and list(back.videos) == list(annotations.videos)
    assert findings.lines() == []
    for ours, theirs in zip(annotations, back, strict=True):
        assert ours.size == theirs.size and ours.fps == theirs.fps
        for column in ("looked_at", "frames", "labels", "track_ids", "ignored"):
            np.testing.assert_array_equal(getattr(theirs, column), getattr(ours, column))
        np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=1e-12)


def document():
    return {
        "videos": [{"id": 7, "name": "a", "width": 64, "height": 48, "fps": 10}],
        "images": [{"id": i, "video_id": 7, "frame_id": f} for i, f in ((1, 0), (2, 4))],
        "categories": [{"id": 9, "name": "put"}, {"id": 3, "name": "pick"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 9, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 2, "category_id": 3, "bbox": [1, 2, 3, 4]},
        ],
    }


def read(tmp_path, content, **options):
    path = tmp_path / "gt.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_coco_video(path, **options)


def test_reads_files_of_other_programs(tmp_path):
    annotations = read(tmp_path, document())
    assert annotations.names == ("pick", "put")  # order of the category ids
    video = annotations.videos["a"]
    assert video.looked_at.tolist() == [True, False, False, False, True]
    assert video.boxes.tolist() == [[1, 2, 4, 6]] and video.labels.tolist() == [[True, True]]
    assert read(tmp_path, document(), names=["put", "pick"]).names == ("put", "pick")


def test_measured_facts_overrule_and_scale(tmp_path):
    videos = {"a": VideoInfo("a", (96, 128), 25.0, 9)}
    findings = Findings()
    video = read(tmp_path, document(), videos=videos, findings=findings).videos["a"]
    assert video.boxes.tolist() == [[2, 4, 8, 12]] and video.num_frames == 9 and video.fps == 25
    assert "boxes scaled" in findings.lines()[0]
    findings = Findings()
    assert not read(tmp_path, document(), videos={}, findings=findings).videos
    assert "1 annotated videos without footage left out (first: a)" in findings.lines()[0]


def test_the_same_class_twice_is_two_boxes_or_a_repetition_of_a_track(tmp_path):
    content = document()
    content["annotations"].append({"id": 3, "image_id": 2, "category_id": 9, "bbox": [1, 2, 3, 4]})
    assert read(tmp_path, content).videos["a"].labels.tolist() == [[True, True], [False, True]]
    for annotation in content["annotations"]:
        annotation["track_id"] = 5
    findings = Findings()
    video = read(tmp_path, content, findings=findings).videos["a"]
    assert video.labels.tolist() == [[True, True]]
    assert "1 boxes given twice" in findings.lines()[0]


def test_pycocotools_reads_what_we_write(tmp_path):
    write_coco_video(tmp_path / "gt.json", read(tmp_path, document()))
    coco = COCO(tmp_path / "gt.json")
    assert len(coco.getImgIds()) == 2
    assert [a["bbox"] for a in coco.loadAnns(coco.getAnnIds())] == [[1, 2, 3, 4]] * 2


def changed(**changes):
    content = document()
    for path, value in changes.items():
        group, index, key = path.split("__")
        content[group][int(index)][key] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "broken JSON"),
        ("[]", "expected a JSON object"),
        ({"videos": []}, "'categories'"),
        (changed(annotations__0__image_id=99), "image_id 99"),
        (changed(annotations__0__category_id=99), "category_id 99"),
        (changed(annotations__0__bbox=[1, 2, 3]), "annotation 1: bbox: expected"),
        (changed(annotations__0__bbox=[1, 2, float("nan"), 4]), "annotation 1, a frame 4"),
        (changed(images__1__frame_id=1.5), "frame_id: expected a whole number"),
        (changed(images__1__frame_id=-1), "found -1"),
        (changed(images__1__id=1), "id occurs more than once"),
        (changed(videos__0__length=3), "expected frame_id in 0..2, found 4"),
        (changed(categories__0__name="pick"), "category name 'pick' occurs more than once"),
    ],
)
def test_broken_files_give_one_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value) and "gt.json" in str(error.value)


def test_missing_file_and_unknown_name(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_coco_video(tmp_path / "none.json")
    with pytest.raises(UserError, match="unknown label 'pick'"):
        read(tmp_path, document(), names=["put", "picks"])


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_regions_to_ignore_are_kept(tmp_path):
    boxes = [{"id": i, "image_id": 1, "category_id": 3, "bbox": [i, 2, 9, 9]} for i in range(3)]
    boxes[1]["iscrowd"], boxes[2]["ignore"] = 1, 1
    content = {**document(), "annotations": boxes}
    found = read_coco_video(write(tmp_path / "a.json", content)).videos["a"]
    assert found.ignored.tolist() == [False, True, True]
    boxes[1]["iscrowd"] = "yes"
    with pytest.raises(UserError, match="expected 0 or 1 for iscrowd, found 'yes'"):
        read_coco_video(write(tmp_path / "a.json", content))


def test_a_folder_stands_for_its_only_file(tmp_path):
    write(tmp_path / "a.json", document())
    assert list(read_coco_video(tmp_path).videos) == ["a"]
    write(tmp_path / "b.json", document())
    with pytest.raises(UserError, match=r"a folder with 2 such files \(a\.json, b\.json\)"):
        read_coco_video(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": "abc"}, "fps: expected a finite number"),
        ({"fps": 0}, "frames a second above 0"),
        ({"fps": [25]}, "fps: expected a finite number"),
        ({"fps": float("nan")}, "fps: expected a finite number"),
        ({"width": 0}, "width: expected a whole number of at least 1"),
        ({"height": -4}, "height: expected a whole number of at least 1"),
        ({"length": 10**13}, "length: expected a whole number"),
        ({"name": "../../out"}, "below the output folder"),
        ({"name": "/out"}, "an absolute path"),
        ({"name": "n" * 300}, "300 bytes"),
    ],
)
def test_what_a_video_cannot_be(tmp_path, change, message):
    content = document()
    content["videos"][0].update(change)
    with pytest.raises(UserError, match=message) as error:
        read_coco_video(write(tmp_path / "a.json", content))
    assert "\n" not in str(error.value)


def test_a_name_with_its_files_suffix_finds_the_video(tmp_path):
    content = document()
    content["videos"][0]["name"] = "a.mp4"
    found = read_coco_video(
        write(tmp_path / "a.json", content), videos={"a": VideoInfo("a", (48, 64), 10.0, 9)}
    )
    assert list(found.videos) == ["a"]
