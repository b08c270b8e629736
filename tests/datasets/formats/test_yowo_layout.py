"""YOWO's layout: x == 0 is kept, both list prefixes, and a label file that is not there."""

import numpy as np
import pytest

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.yowo_layout import read_yowo_layout
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

INFO = {"pick/x": VideoInfo("pick/x", (480, 640), 30.0, 5)}


def put(tmp_path, files, **lists):
    for name, text in files.items():
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, text in lists.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_reads_boxes_frames_and_lists(tmp_path):
    files = {
        "pick/x/00001.txt": "1 0 10 20 30\n1 5 5 10 10\n2 0 10 20 30\n",
        "pick/x/00003.txt": "",
        "put/y/00001.txt": "2 1 1 2 2\n",
    }
    findings = Findings()
    root = put(
        tmp_path, files, trainlist="pick/x/00001.txt\n", testlist="labels/pick/x/00003.txt\n"
    )
    annotations = read_yowo_layout(root, videos=INFO, findings=findings)
    assert annotations.names == ("pick", "put")
    video = annotations.videos["pick/x"]
    assert video.looked_at.tolist() == [True, False, True, False, False]
    assert video.boxes.tolist() == [[0, 20, 40, 60], [10, 10, 20, 20]]  # 320x240 to 640x480
    assert video.labels.tolist() == [[True, True], [True, False]]
    assert "1 annotated videos without footage left out (first: put/y)" in str(findings.lines())
    own = read_yowo_layout(root / "labels", videos=INFO, annotation_size=(480, 640))
    assert own.videos["pick/x"].boxes[0].tolist() == [0, 10, 20, 30]


def test_ucf24_names_where_every_folder_is_one(tmp_path):
    info = {"Biking/x": VideoInfo("Biking/x", (240, 320), 25.0, 2)}
    root = put(tmp_path, {"Biking/x/00001.txt": "3 0 0 9 9"})
    annotations = read_yowo_layout(root, videos=info)
    assert len(annotations.names) == 24
    assert np.flatnonzero(annotations.videos["Biking/x"].labels[0]).tolist() == [2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pick/x/00001.txt": "1 0 0 9"}, "00001.txt, line 1: expected 5 numbers"),
        ({"pick/x/00001.txt": "0 0 0 9 9"}, "expected a class of 1..1, found 0"),
        ({"pick/x/00006.txt": ""}, "has 5 frames .00001..00005."),
        ({"pick/x/00000.txt": ""}, "has 5 frames"),
        ({"pick/x/00001.txt": "1 0 0 nan 9"}, "00001.txt, line 1: expected a finite number"),
        ({"a/y/00001.txt": "", "pick/x/00001.txt": "1 0 0 9 9"}, "no box is of class 'pick'"),
        ({"00001.txt": ""}, "expected labels/<Class>"),
        ({"pick/x/readme.txt": ""}, "expected labels/<Class>"),
    ],
)
def test_broken_files_give_one_line(tmp_path, files, message):
    with pytest.raises(UserError, match=message) as error:
        read_yowo_layout(put(tmp_path, files), videos=INFO)
    assert "\n" not in str(error.value)


def test_a_missing_or_unreadable_label_file_is_an_error(tmp_path):
    files = {"pick/x/00001.txt": "1 0 0 9 9"}
    root = put(tmp_path, files, testlist="pick/x/00001.txt\nlabels/pick/x/00002.txt\n")
    with pytest.raises(UserError, match=r"testlist\.txt, line 2: .* has no label file"):
        read_yowo_layout(root, videos=INFO)
    (root / "labels/pick/x/00002.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="expected text in UTF-16"):
        read_yowo_layout(root, videos=INFO)
