"""CVAT as it exports: zips, projects, jobs of one task, shapes other than boxes, deleted frames."""

import math
import zipfile

import numpy as np
import pytest

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.cvat import read_cvat
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

VIDEOS = {"a": VideoInfo("a", (100, 200), 25.0, 50), "b": VideoInfo("b", (100, 200), 25.0, 50)}
LABELS = "<labels><label><name>pick</name></label><label><name>put</name></label></labels>"


def box(frame, outside=0, keyframe=1, x=10.0, extra=""):
    return (
        f'<box frame="{frame}" outside="{outside}" keyframe="{keyframe}" xtl="{x}" ytl="5" '
        f'xbr="{x + 20}" ybr="25" {extra}/>'
    )


def track(*shapes, label="pick", extra=""):
    return f'<track id="0" label="{label}" {extra}>{"".join(shapes)}</track>'


def meta(kind="task", name="a", start=0, stop=49, labels=LABELS, extra=""):
    return (
        f"<meta><{kind}><name>{name}</name><size>{stop - start + 1}</size>"
        f"<start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame>{labels}{extra}"
        f"</{kind}></meta>"
    )


def document(*tracks, meta=meta()):  # noqa: B008
    return f"<annotations><version>1.1</version>{meta}{''.join(tracks)}</annotations>"


def read(tmp_path, *documents, **options):
    for number, text in enumerate(documents):
        (tmp_path / f"export{number}.xml").write_text(text)
    findings = Findings()
    found = read_cvat(tmp_path, videos=VIDEOS, findings=findings, **options)
    return found, " ".join(findings.lines())


def test_a_turned_box_becomes_the_box_around_it(tmp_path):
    turned = '<box frame="5" outside="0" xtl="60" ytl="40" xbr="100" ybr="50" rotation="90"/>'
    slanted = '<box frame="6" outside="0" xtl="60" ytl="40" xbr="100" ybr="50" rotation="30"/>'
    found, notes = read(tmp_path, document(track(turned, slanted)))
    boxes = found.videos["a"].boxes
    np.testing.assert_array_equal(boxes[0], [75, 25, 85, 65])
    corners = [
        (sx * 20, sy * 5) for sx in (-1, 1) for sy in (-1, 1)
    ]  # turned by hand about (80, 45)
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    xs, ys = [x * cos - y * sin for x, y in corners], [x * sin + y * cos for x, y in corners]
    np.testing.assert_allclose(
        boxes[1], [80 + min(xs), 45 + min(ys), 80 + max(xs), 45 + max(ys)], atol=1e-5
    )
    assert "2 turned boxes read as the boxes around them" in notes


def test_a_rotation_is_interpolated_the_shorter_way(tmp_path):
    shapes = [
        f'<box frame="{f}" outside="0" keyframe="1" xtl="60" ytl="40" xbr="100" ybr="50" '
        f'rotation="{r}"/>'
        for f, r in ((4, 350), (6, 10))
    ]
    found, _ = read(tmp_path, document(track(*shapes)))
    np.testing.assert_allclose(found.videos["a"].boxes[1], [60, 40, 100, 50], atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ('<polygon frame="3" points="10,10;20,10;20,30"/>', [10, 10, 20, 30]),
        ('<polyline frame="3" points="10,12;20,40"/>', [10, 12, 20, 40]),
        ('<points frame="3" points="1,2;30,4;5,60"/>', [1, 2, 30, 60]),
        ('<ellipse frame="3" cx="30" cy="40" rx="5" ry="9"/>', [25, 31, 35, 49]),
        ('<ellipse frame="3" cx="30" cy="40" rx="5" ry="9" rotation="90"/>', [21, 35, 39, 45]),
        ('<mask frame="3" rle="1" left="3" top="4" width="5" height="6"/>', [3, 4, 8, 10]),
        (
            '<cuboid frame="3" xtl1="5" ytl1="6" xbl1="5" ybl1="30" xtr2="40" ytr2="8" xbr2="44" '
            'ybr2="33"/>',
            [5, 6, 44, 33],
        ),
        (
            '<skeleton frame="3"><points label="1" outside="0" points="5,5"/><points label="2" '
            'outside="0" points="9,20"/><points label="3" outside="1" points="90,90"/></skeleton>',
            [5, 5, 9, 20],
        ),
    ],
)
def test_other_shapes_become_the_boxes_around_them(tmp_path, shape, wanted):
    found, notes = read(tmp_path, document(track(shape)))
    assert found.names == ("pick", "put")  # the points of a skeleton are no classes
    video = found.videos["a"]
    assert video.frames.tolist() == [3] and video.looked_at.all()
    np.testing.assert_allclose(video.boxes[0], wanted, atol=1e-5)
    assert "read as the boxes around them" in notes


def test_a_shape_without_an_area_takes_its_frame_out(tmp_path):
    point = '<skeleton frame="6"><points label="1" points="5,5"/></skeleton>'
    found, notes = read(tmp_path, document(track(box(5), box(6), box(7)), track(point)))
    video = found.videos["a"]
    assert np.flatnonzero(~video.looked_at).tolist() == [6]
    assert video.frames.tolist() == [5, 7]
    assert "<skeleton> without an area" in notes


def test_points_of_a_skeleton_are_no_classes(tmp_path):
    labels = (
        "<labels><label><name>body</name><type>skeleton</type></label>"
        "<label><name>hand</name><type>points</type><parent>body</parent></label></labels>"
    )
    found, _ = read(tmp_path, document(track(box(1), label="body"), meta=meta(labels=labels)))
    assert found.names == ("body",)


def test_deleted_frames_are_not_looked_at_and_get_no_boxes(tmp_path):
    shapes = [box(5), box(6, keyframe=0), box(7, keyframe=0), box(20, x=90.0), box(21, outside=1)]
    found, notes = read(tmp_path, document(track(*shapes)))
    video = found.videos["a"]
    assert video.frames.tolist() == [5, 6, 7, 20]
    assert np.flatnonzero(~video.looked_at).tolist() == list(range(8, 20))
    assert "12 frames that a visible track skips" in notes
    sparse, _ = read(tmp_path, document(track(box(5), box(8), box(9, outside=1))))
    assert sparse.videos["a"].frames.tolist() == [5, 6, 7, 8]  # keyframes alone are interpolated


def test_an_outside_box_given_twice_and_spelt_in_words(tmp_path):
    shapes = [box(5), box(6, outside=1), box(6, outside=1), box(9), box(10, outside="True")]
    found, notes = read(tmp_path, document(track(*shapes)))
    assert found.videos["a"].frames.tolist() == [5, 9]
    assert "1 boxes that a track lists twice" in notes
    with pytest.raises(UserError, match="expected 0 or 1 for a flag, found 'maybe'"):
        read(tmp_path, document(track(box(5, outside="maybe"))))


def test_jobs_of_one_task_are_joined(tmp_path):
    first = document(track(box(5), box(6), box(7, outside=1)), meta=meta("job", stop=24))
    second = document(track(box(30), box(31, outside=1)), meta=meta("job", start=25))
    found, notes = read(tmp_path, first, second)
    video = found.videos["a"]
    assert video.looked_at.all() and video.frames.tolist() == [5, 6, 30]
    assert len(np.unique(video.track_ids)) == 2 and "2 files of one video joined" in notes


def test_jobs_may_share_frames_where_they_meet(tmp_path):
    first = document(track(*map(box, range(22, 25))), meta=meta("job", stop=24))
    same = track(*map(box, range(23, 27)))
    second = document(same, track(box(24, x=90.0)), meta=meta("job", start=23))
    found, notes = read(tmp_path, first, second)
    video = found.videos["a"]
    assert video.frames.tolist() == [22, 23, 24, 25, 26]
    assert len(np.unique(video.track_ids)) == 1  # one actor over the border
    assert "1 boxes on frames that an earlier job has too" in notes


def test_two_exports_of_the_same_frames_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"annotated in .*export0\.xml already"):
        read(tmp_path, document(track(box(5))), document(track(box(5))))
    with pytest.raises(UserError, match="already"):
        jobs = [document(meta=meta("job", stop=24)), document(meta=meta("job", stop=24))]
        read(tmp_path, *jobs)


def test_zips_as_cvat_exports_them(tmp_path):
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("some/folder/annotations.xml", document(track(box(5))))
        archive.writestr("__MACOSX/._annotations.xml", "junk")
        archive.writestr("images/frame_000000.PNG", b"")
    assert read(tmp_path)[0].videos["a"].frames.tolist() == [5]
    only = read_cvat(tmp_path / "task.zip", videos=VIDEOS)
    assert only.videos["a"].frames.tolist() == [5]
    (tmp_path / "task.zip").write_bytes((tmp_path / "task.zip").read_bytes()[:100])
    with pytest.raises(UserError, match="expected a zip that CVAT exported"):
        read(tmp_path)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", b" " * (65 << 20))
    with pytest.raises(UserError, match="would unpack to"):
        read(tmp_path)


def test_a_project_holds_tasks(tmp_path):
    tasks = "".join(
        f"<task><id>{number}</id><name>{name}</name><size>50</size><start_frame>0</start_frame>"
        f"<stop_frame>49</stop_frame><source>{name}.mp4</source></task>"
        for number, name in ((3, "a"), (8, "b"))
    )
    project = f"<meta><project><name>p</name><tasks>{tasks}</tasks>{LABELS}</project></meta>"
    tracks = [track(box(5), extra='task_id="3"'), track(box(9), label="put", extra='task_id="8"')]
    found, _ = read(tmp_path, document(*tracks, meta=project))
    assert found.videos["a"].frames.tolist() == [5] and found.videos["b"].frames.tolist() == [9]
    assert found.videos["b"].labels.tolist() == [[False, True]]
    with pytest.raises(UserError, match="found one of task '7'"):
        read(tmp_path, document(track(box(5), extra='task_id="7"'), meta=project))


def test_images_are_frames_with_boxes_without_tracks(tmp_path):
    image = (
        '<image id="0" name="frame_000007" width="200" height="100"><box label="put" xtl="1" '
        'ytl="2" xbr="30" ybr="40"/></image><image id="1" name="frame_000009"/>'
    )
    video = read(tmp_path, document(image))[0].videos["a"]
    assert video.frames.tolist() == [7] and video.track_ids.tolist() == [-1]
    assert np.flatnonzero(video.looked_at).tolist() == [7, 9]


def test_labels_that_differ_by_case_or_blanks_are_one_class(tmp_path):
    labels = LABELS.replace("pick", "Pick").replace("put", "put ")
    other = document(track(box(5), label="Pick"), meta=meta(name="b", labels=labels))
    found, notes = read(tmp_path, document(track(box(5))), other)
    assert found.names == ("pick", "put")
    assert found.videos["b"].labels.tolist() == [[True, False]]
    assert "labels that differ by case or blanks" in notes
    both = LABELS.replace("put", "PICK")
    with pytest.raises(UserError, match="differ by case or blanks alone"):
        read(tmp_path, document(meta=meta(labels=both)), document(meta=meta(name="b")))


def test_an_undeclared_label_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"unknown label 'pikc' \(did you mean pick"):
        read(tmp_path, document(track(box(5), label="pikc")))


def test_sides_that_are_swapped_are_refused_and_other_sizes_told(tmp_path):
    def original(width, height):
        size = f"<original_size><width>{width}</width><height>{height}</height></original_size>"
        return document(track(box(5)), meta=meta(extra=size))

    with pytest.raises(UserError, match=r"sides are swapped.*annotation_size: \[100, 200\]"):
        read(tmp_path, original(100, 200))
    found, _ = read(tmp_path, original(100, 200), annotation_size=(100, 200))
    assert found.videos["a"].boxes[0].tolist() == [10, 5, 30, 25]
    found, notes = read(tmp_path, original(400, 200))
    assert found.videos["a"].boxes[0].tolist() == [5, 2.5, 15, 12.5]
    assert "videos annotated at another size" in notes and "another shape" not in notes
    assert "another shape" in read(tmp_path, original(400, 300))[1]


def test_a_claimed_length_costs_nothing(tmp_path):
    import tracemalloc

    huge = meta().replace("<size>50</size>", f"<size>{10**12}</size>")
    huge = huge.replace("<stop_frame>49</stop_frame>", f"<stop_frame>{10**12 - 1}</stop_frame>")
    tracemalloc.start()
    found, notes = read(tmp_path, document(track(box(5), box(6, outside=1)), meta=huge))
    assert found.videos["a"].frames.tolist() == [5] and "past the end of a ignored" in notes
    with pytest.raises(UserError, match="is visible on frame 2000000000: the video has 50"):
        read(tmp_path, document(track(box(5), box(2 * 10**9)), meta=huge))
    with pytest.raises(UserError, match="is visible on frame 1999999999: the video has 50"):
        read(tmp_path, document(track(box(5), box(2 * 10**9, outside=1)), meta=huge))
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
