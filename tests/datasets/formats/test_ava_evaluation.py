"""AVA's figure from its csv files, against the public evaluation written out row by row."""

import csv

import numpy as np
import pytest

from stadet.datasets.formats.ava_evaluation import read_ava_columns
from stadet.detect.metrics.ava_map import ava_figures
from stadet.detect.metrics.protocols import AVA_NOT_EVALUATED
from stadet.engine.errors import UserError
from tests.detect.metrics.literal_ava import literal_ava


def random_rows(seed, *, actions=6, detections=300, tied=True):
    """Rows (key, box, action, last) of truth and detections on frames that only partly agree."""
    rng = np.random.default_rng(seed)
    keys = [(f"video {v}", 900 + s) for v in range(3) for s in range(5)]

    def box():
        x, y = rng.uniform(0, 0.5, 2).round(2)
        w, h = rng.uniform(0.2, 0.4, 2).round(2)
        return (float(x), float(y), float(x + w), float(y + h))

    truth = []
    for key in keys[:12]:
        for person in range(int(rng.integers(0, 4))):
            own = box()
            for action in rng.choice(actions, rng.integers(1, 3), replace=False):
                truth.append((key, own, int(action) + 1, int(person)))
    found = []
    for _ in range(detections):
        key = keys[rng.integers(2, len(keys))]
        near = [t for t in truth if t[0] == key]
        own, action = box(), int(rng.integers(actions)) + 1
        if near and rng.random() < 0.7:
            own, action = near[rng.integers(len(near))][1:3]
            own = tuple(float(v) for v in (own + rng.normal(0, 0.02, 4)).round(3))
        if rng.random() < 0.05:
            own = (own[0], own[1], own[0], own[3])  # no area
        score = rng.random()
        found.append((key, own, action, float(np.ceil(score * 5) / 5 if tied else score)))
    return truth, found


def write(path, rows):
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows(
            [video, second, *box, action, last] for (video, second), box, action, last in rows
        )


def figures(folder, truth, found, labels=None, excluded=()):
    write(folder / "truth.csv", truth)
    write(folder / "found.csv", found)
    columns = read_ava_columns(folder / "truth.csv", folder / "found.csv", labels, excluded)
    return ava_figures(columns)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_public_evaluation(tmp_path, seed, tied):
    labels = {number: f"a{number}" for number in (1, 2, 3, 5, 6)}  # 4 is not evaluated
    truth, found = random_rows(seed, tied=tied, detections=300 if seed % 2 else 1200)
    excluded = {("video 1", 902), ("video 2", 900)}
    got = figures(tmp_path, truth, found, labels, excluded)
    for key, counted in (("map_50", False), ("map_50_all_key_frames", True)):
        want = literal_ava(truth, found, labels, excluded=excluded, empty_frames_count=counted)
        assert got[key] == pytest.approx(np.mean(list(want.values())), abs=1e-12)
        if not counted:
            for number, ap in want.items():
                assert got["per_class"][labels[number]] == pytest.approx(ap, abs=1e-12)
    if not tied:  # with equal scores the order in the script's sort decides
        assert got["map_50"] >= got["map_50_all_key_frames"]


def test_sixty_of_eighty_actions_without_a_label_map(tmp_path):
    truth, found = random_rows(3, actions=80, detections=600)
    got = figures(tmp_path, truth, found)
    want = literal_ava(truth, found, set(range(1, 81)) - set(AVA_NOT_EVALUATED))
    assert got["evaluated_classes"] == 60
    assert got["map_50"] == pytest.approx(np.mean(list(want.values())), abs=1e-12)


def test_detections_on_frames_without_truth_are_told(tmp_path):
    box = (0.1, 0.1, 0.5, 0.5)
    truth = [(("v", 902), box, 1, 0.0)]
    found = [(("v", 903), box, 1, 0.9), (("v", 902), box, 1, 0.8)]
    got = figures(tmp_path, truth, found, {1: "sit"})
    assert (got["map_50"], got["map_50_all_key_frames"]) == (1.0, 0.5)
    assert (got["key_frames"], got["empty_key_frames"]) == (1, 1)
    assert got["detections_on_empty_key_frames"] == 1


def test_a_score_of_zero_is_a_detection(tmp_path):
    box = (0.1, 0.1, 0.5, 0.5)
    assert figures(tmp_path, [(("v", 902), box, 1, 0.0)], [(("v", 902), box, 1, 0.0)], {1: "sit"})[
        "map_50"
    ] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("row", "what"),
    [("v,902,.1,.1,.5,.5,1", "score"), ("v,902,a,.1,.5,.5,1,.5", "line 1"), ("v,902", "line 1")],
)
def test_bad_rows_are_named(tmp_path, row, what):
    (tmp_path / "truth.csv").write_text("v,902,.1,.1,.5,.5,1,0\n")
    (tmp_path / "found.csv").write_text(row + "\n")
    with pytest.raises(UserError, match=what):
        read_ava_columns(tmp_path / "truth.csv", tmp_path / "found.csv", {1: "sit"})
