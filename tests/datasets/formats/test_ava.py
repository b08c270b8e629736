import cv2
import numpy as np
import pytest

from stadet.datasets.dataset import load_dataset
from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.ava import read_ava, read_ava_detections
from stadet.datasets.formats.ava_labels import read_label_map
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

PBTXT = """\
item {
  name: "stand"
  id: 12
}
label {
  name: "watch (a person)"
  label_id: 80
  label_type: PERSON_INTERACTION
}
item { name: "sit" id: 11 }
"""
TRUTH = """\
a,0902,0.1,0.2,0.5,0.6,12,0
a,0902,0.1,0.2,0.5,0.6,80,0
a,0902,0.5,0.2,0.9,0.8,11,1
a,0904,0.1,0.2,0.5,0.6,12,0
a,0905,0.0,0.0,1.0,1.0,11,2
a,0906
"""


def write(folder, truth=TRUTH, excluded="a,0905\n"):
    (folder / "map.pbtxt").write_text(PBTXT)
    (folder / "truth.csv").write_text(truth)
    (folder / "excluded.csv").write_text(excluded)
    return folder / "truth.csv"


def test_label_maps_of_both_kinds(tmp_path):
    write(tmp_path)
    expected = {11: "sit", 12: "stand", 80: "watch (a person)"}
    assert read_label_map(tmp_path / "map.pbtxt") == expected
    table = tmp_path / "map.csv"
    table.write_text('label_id,label_name\n80,"watch (a person)"\n11,sit\n12,stand\n')
    assert read_label_map(table) == expected


def test_normalised_boxes_at_one_frame_a_second_without_videos(tmp_path):
    truth = read_ava(
        write(tmp_path), label_map="map.pbtxt", excluded="excluded.csv", key_seconds=(902, 910)
    )
    assert truth.names == ("sit", "stand", "watch (a person)")
    video = truth.videos["a"]
    assert (video.size, video.fps, video.num_frames) == ((1, 1), 1.0, 911)
    assert np.flatnonzero(video.looked_at).tolist() == [902, 903, 904, 906, 907, 908, 909, 910]
    assert video.frames.tolist() == [902, 902, 904]
    assert video.labels.tolist() == [
        [False, True, True],
        [True, False, False],
        [False, True, False],
    ]
    np.testing.assert_allclose(video.boxes[0], [0.1, 0.2, 0.5, 0.6])
    assert video.track_ids.tolist() == [0, 1, 0]


def test_pixels_and_frames_of_a_video_that_begins_later(tmp_path):
    videos = {"a": VideoInfo("a", (100, 200), 25.0, 200)}
    truth = read_ava(write(tmp_path), videos=videos, label_map="map.pbtxt", first_second=900)
    video = truth.videos["a"]
    assert video.frames.tolist() == [50, 50, 100, 125]
    np.testing.assert_allclose(video.boxes[0], [20, 20, 100, 60])
    assert np.flatnonzero(video.looked_at).tolist() == [50, 75, 100, 125, 150, 175]


def test_rows_past_the_end_name_the_line(tmp_path):
    videos = {"a": VideoInfo("a", (100, 200), 25.0, 110)}
    with pytest.raises(UserError, match=r"truth\.csv, line 5: .*110 frames at 25 .*found 905"):
        read_ava(write(tmp_path), videos=videos, label_map="map.pbtxt", first_second=900)
    empty = write(tmp_path, "a,902,,,,,,\na,999,,,,,,\n")
    with pytest.raises(UserError, match=r"line 2: .*found 999"):
        read_ava(empty, videos=videos, label_map="map.pbtxt", first_second=900)


def test_key_seconds_past_the_end_are_counted(tmp_path):
    videos, findings = {"a": VideoInfo("a", (100, 200), 25.0, 200)}, Findings()
    read_ava(
        write(tmp_path),
        videos=videos,
        label_map="map.pbtxt",
        first_second=900,
        key_seconds=(904, 910),
        findings=findings,
    )
    assert "3 key seconds outside their video left out" in findings.lines()[0]
    assert "second 908 of a" in findings.lines()[0]


def test_actions_that_the_label_map_does_not_list_are_counted(tmp_path):
    findings = Findings()
    path = write(tmp_path, TRUTH + "a,907,0,0,1,1,79,3\n")
    truth = read_ava(path, label_map="map.pbtxt", findings=findings)
    assert "1 rows of actions that the label map does not list" in findings.lines()[0]
    assert truth.videos["a"].looked_at[907]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,902,0.1,0.2,0.5\n", "expected video, second, x1"),
        ("a,902,10,20,50,60,12,0\n", "not pixels"),
        ("a,902,nan,0,1,1,12,0\n", "a whole second and numbers"),
        ("a,ten,0,0,1,1,12,0\n", "whole second"),
        ("a\n", "whole second"),
    ],
)
def test_broken_rows_name_file_and_line(tmp_path, row, message):
    with pytest.raises(UserError, match=rf"truth\.csv, line 7: .*{message}"):
        read_ava(write(tmp_path, TRUTH + row), label_map="map.pbtxt")


def test_missing_files_and_broken_maps(tmp_path):
    path = write(tmp_path)
    with pytest.raises(UserError, match="label_map"):
        read_ava(path)
    with pytest.raises(UserError, match="found none"):
        read_ava(tmp_path / "no.csv", label_map="map.pbtxt")
    with pytest.raises(UserError, match="add the video"):
        read_ava(path, videos={"b": VideoInfo("b", (1, 1), 1.0, 9)}, label_map="map.pbtxt")
    (tmp_path / "map.pbtxt").write_text('item {\n name: "sit"\n}\n')
    with pytest.raises(UserError, match="line 1: expected an entry with a name and an id"):
        read_ava(path, label_map="map.pbtxt")
    (tmp_path / "map.pbtxt").write_text(PBTXT + 'item { name: "run" id: 11 }')
    with pytest.raises(UserError, match="once, found 11 'run'"):
        read_ava(path, label_map="map.pbtxt")


def test_detections(tmp_path):
    truth = read_ava(write(tmp_path), label_map="map.pbtxt", excluded="excluded.csv")
    (tmp_path / "found.csv").write_text(
        "a,0902,0.1,0.2,0.5,0.6,12,0.9\n"
        "b,0902,0.1,0.2,0.5,0.6,12,0.9\n"
        "a,0905,0.1,0.2,0.5,0.6,12,0.9\n"
        "a,0902,0.1,0.2,0.5,0.6,80,0.4\n"
        "a,0902,0.1,0.2,0.5,0.6,79,0.4\n"
        "a,0903,0.1,0.2,0.5,0.6,11,0.7\n"
    )
    found = read_ava_detections(tmp_path / "found.csv", truth, "map.pbtxt")
    video = found.videos["a"]
    assert video.frames.tolist() == [902, 903]
    np.testing.assert_allclose(video.scores, [[0, 0.9, 0.4], [0.7, 0, 0]])
    (note,) = found.notes
    for words in ("unknown videos", "nobody looked at", "without a class"):
        assert words in note
    (tmp_path / "found.csv").write_text("a,0902,0.1,0.2,0.5,0.6,12,nan\n")
    with pytest.raises(UserError, match="line 1"):
        read_ava_detections(tmp_path / "found.csv", truth, "map.pbtxt")


def test_from_a_data_set_file(tmp_path):
    folder = tmp_path / "videos" / "a"
    folder.mkdir(parents=True)
    for frame in range(12):
        cv2.imwrite(str(folder / f"{frame + 1:05d}.png"), np.zeros((20, 40, 3), np.uint8))
    write(tmp_path)
    (tmp_path / "dataset.yaml").write_text(
        "format: ava\nannotations: truth.csv\nlabel_map: map.pbtxt\nexcluded: excluded.csv\n"
        "first_second: 902\nkey_seconds: [902, 906]\nframe_folder_fps: 2\n"
        "split: {method: blocks, block_seconds: 1, val: 0.4}\n"
    )
    video = load_dataset(tmp_path / "dataset.yaml").annotations.videos["a"]
    assert np.flatnonzero(video.looked_at).tolist() == [0, 2, 4, 8]
    np.testing.assert_allclose(video.boxes[0], [4, 4, 20, 12])
