import json

import numpy as np
import pytest

from stadet.detect.structures import Tube
from stadet.detect.tubes.file import read_tubes, write_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError


def some_tubes():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (4, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 50, (4, 2))], axis=1)
    first = VideoTubes("a/b", [Tube(3, boxes, 1, 0.5), Tube(5, boxes[:1], 0, 0.25)], 29.97, 200)
    return TubeSet(("pour", "wipe"), {"a/b": first, "empty": VideoTubes("empty", [])}, {"x": 1})


def test_written_and_read_is_the_same(tmp_path):
    tubes = some_tubes()
    write_tubes(tmp_path / "t.json", tubes)
    back = read_tubes(tmp_path / "t.json")
    assert (back.names, dict(back.linking), len(back)) == (tubes.names, {"x": 1}, 2)
    assert list(back.videos) == ["a/b", "empty"]
    for want, got in zip(tubes, back, strict=True):
        assert (want.fps, want.num_frames) == (got.fps, got.num_frames)
        for a, b in zip(want.tubes, got.tubes, strict=True):
            assert (a.start, a.label, a.score) == (b.start, b.label, b.score)
            np.testing.assert_allclose(a.boxes, b.boxes, atol=0.0011)


def test_tubes_of_a_frame_best_last():
    box = np.tile([0.0, 0, 1, 1], (10, 1))
    video = VideoTubes("v", [Tube(0, box, 0, 0.9), Tube(5, box, 1, 0.5), Tube(20, box, 0, 0.1)])
    assert [number for number, _ in video.at(7)] == [1, 0]
    assert [number for number, _ in video.at(10)] == [1]
    assert video.at(15) == [] and VideoTubes("v", []).at(0) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "stad-tubes/9"}, "stad-tubes/1"),
        ({"names": None}, '"names" as a list'),
        ({"videos": {"v": {}}}, "'v': expected \"tubes\""),
        ({"videos": {"v": {"tubes": [], "fps": 0}}}, "second above 0"),
        ({"videos": {"v": {"tubes": [], "num_frames": 1.5}}}, "num_frames"),
        ({"videos": {"v": {"tubes": [{"id": 1}]}}}, 'tube 0: expected an object with "id": 0'),
        ({"videos": {"v": {"tubes": [{"id": 0, "class": "wpe"}]}}}, "did you mean wipe"),
        (
            {"videos": {"v": {"tubes": [{"id": 0, "class": "wipe", "start": -1, "score": 1}]}}},
            "start: expected a whole number",
        ),
        (
            {"videos": {"v": {"tubes": [{"id": 0, "class": "wipe", "start": 0, "score": np.nan}]}}},
            "score: expected a finite number",
        ),
        (
            {
                "videos": {
                    "v": {
                        "tubes": [
                            {"id": 0, "class": "wipe", "start": 0, "score": 1, "boxes": [[1, 2]]}
                        ]
                    }
                }
            },
            "four finite numbers",
        ),
    ],
)
def test_what_is_no_tube_file_is_said(tmp_path, change, message):
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps({"schema": "stad-tubes/1", "names": ["pour", "wipe"], "videos": {}} | change)
    )
    with pytest.raises(UserError, match=r"t\.json") as caught:
        read_tubes(path)
    assert message in str(caught.value)


def test_missing_and_cut_off(tmp_path):
    with pytest.raises(UserError, match="stad tubes"):
        read_tubes(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"schema": "stad-tub')
    with pytest.raises(UserError, match="broken JSON"):
        read_tubes(tmp_path / "cut.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UserError, match="list"):
        read_tubes(tmp_path / "list.json")
