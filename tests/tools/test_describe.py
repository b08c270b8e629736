"""`stad describe`: the text, the JSON and the picture of a small data set."""

import csv
import json

import cv2
import numpy as np
import pytest

from stadet.datasets.contact_sheet import choose_frames
from stadet.datasets.dataset import load_dataset
from stadet.tools import describe
from stadet.tools.cli import run_verb

BOX = '<box frame="{}" outside="0" xtl="{}" ytl="4" xbr="{}" ybr="24"/>'


@pytest.fixture
def data(tmp_path):
    for name in ("front", "side"):
        folder = tmp_path / "videos" / name
        folder.mkdir(parents=True)
        for frame in range(20):
            cv2.imwrite(str(folder / f"{frame + 1:05d}.png"), np.full((48, 64, 3), 90, np.uint8))
    (tmp_path / "annotations").mkdir()
    tracks = "".join(
        f'<track id="{i}" label="{label}">{BOX.format(a, x, x + 20)}{BOX.format(b, x, x + 20)}'
        "</track>"
        for i, (label, a, b, x) in enumerate([("pick", 2, 5, -4), ("put", 10, 17, 30)])
    )
    (tmp_path / "annotations" / "front.xml").write_text(f"<annotations>{tracks}</annotations>")
    (tmp_path / "annotations" / "side.xml").write_text("<annotations></annotations>")
    (tmp_path / "dataset.yaml").write_text(
        "format: cvat\nreverses: {pick: put}\nviews: {counter: [front, side]}\n"
        "split: {block_seconds: 0.1, val: 0.5}\n"
    )
    return tmp_path


def stad(*arguments):
    return run_verb(describe, [str(argument) for argument in arguments])


def test_text_json_and_picture(data, tmp_path, capsys):
    facts = {
        "schema": "stad-restaurant/1",
        "told_by_one_frame": [],
        "reversed_pairs": [["pick", "put"]],
        "videos": {
            "front": {
                "view": "front",
                "motionless": [{"label": "pick", "first": 3, "last": 12, "box": [0, 0, 9, 9]}],
            }
        },
    }
    (data / "restaurant.json").write_text(json.dumps(facts))
    out = tmp_path / "out"
    assert stad("--data", data, "--size", 96, 128, "--out", out, "--samples", 6) == 0
    output = capsys.readouterr()
    for text in (
        "2 videos (64x48 at 25 fps), 40 frames, 40 looked at",
        "70.0 % of the looked-at frames without action",
        "Reverses of each other: pick | put",
        "The same time in counter: front, side",
        "Pairs that are exact time reversals: pick | put",
        "rests in 1 actions for 10 to 10 frames, where only memory tells: pick",
        "Split by blocks",
    ):
        assert text in output.out
    assert "4 boxes over the edge of the frame clipped" in output.err
    content = json.loads((out / "describe.json").read_text())
    assert content["classes"][1]["width"][2] == 40 and content["network_size"] == [96, 128]
    assert content["share_without_action"] == 0.7 and len(content["findings"]) == 1
    assert (out / "describe.txt").read_text() in output.out
    picture = cv2.imread(str(out / "samples.png"))
    assert picture.shape == (2 * 360, 4 * 480, 3) and len(np.unique(picture)) > 2


def test_one_side(data, capsys):
    assert stad("--data", data, "--side", "val") == 0
    assert "(val side)" in capsys.readouterr().out
    assert stad("--data", data, "--side", "test") == 2
    assert "side 'test'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--size", 0, 5], ["--samples", -1]])
def test_mistakes_give_one_line(data, capsys, arguments):
    assert stad("--data", data, *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_samples_show_every_class_and_quiet_frames(data):
    annotations = load_dataset(data).annotations
    frames = choose_frames(annotations, 10)
    assert len(frames) == len(set(frames)) == 10
    front = annotations.videos["front"]
    classes = [tuple(front[f].labels.any(axis=0)) for v, f in frames[:8] if v == "front"]
    assert {(True, False), (False, True)} <= set(classes)
    assert all(len(annotations.videos[v][f]) == 0 for v, f in frames[8:])
    assert choose_frames(annotations, 10) == frames
    assert choose_frames(annotations, 0) == []
    assert len(choose_frames(annotations, 1000)) == 40


def test_suspects_as_csv_json_and_page(data, tmp_path, capsys):
    """The clip that detections call "put" on every frame is annotated as "pick"."""
    lines = [
        {
            "schema": "stad-detections/1",
            "categories": [{"id": 1, "name": "pick"}, {"id": 2, "name": "put"}],
            "score_floor": 0.05,
        }
    ]
    for frame in range(20):
        scores = {"2": 0.9} if frame < 8 else {"2": 0.8}
        box = [0, 4, 16, 20] if frame < 8 else [30, 4, 20, 20]
        if 2 <= frame <= 5 or frame >= 10:
            lines.append({"video": "front", "frame": frame, "bbox": box, "scores": scores})
    lines.append({"video": "front", "processed": [0, 19]})
    detections = tmp_path / "fold.jsonl"
    detections.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    arguments = ("--data", data, "--out", out, "--samples", 3)
    assert stad(*arguments, "--suspects", detections) == 0, capsys.readouterr().err
    assert "1. label" in capsys.readouterr().out
    content = json.loads((out / "suspects.json").read_text())
    first = content["suspects"][0]
    assert (first["kind"], first["video"], first["label"]) == ("label", "front", "pick")
    assert (first["first"], first["last"]) == (2, 5)
    with open(out / "suspects.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(content["suspects"]) and rows[0]["suggestion"].startswith("put: ")
    page = (out / "suspects.html").read_text()
    assert page.count("<figure") == len(rows) and "data:image/jpeg;base64," in page
    assert "No detections of 1 videos (first: side)" in page
    assert stad(*arguments, "--suspects", detections) == 2  # nothing is replaced


def test_suspects_without_detections_and_with_wrong_ones(data, tmp_path, capsys):
    assert stad("--data", data, "--suspects", "--samples", 0) == 0
    assert "Suspects: none" in capsys.readouterr().out
    header = '{"schema": "stad-detections/1", "categories": [{"id": 1, "name": "%s"}]}\n'
    row = '{"video": "front", "frame": 1, "bbox": [1, 1, 9, 9], "scores": {"1": 0.5}}\n'
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    one.write_text(header % "pick" + row)
    two.write_text(header % "pick" + row)
    assert stad("--data", data, "--suspects", one, two) == 2
    assert "video 'front' is in" in capsys.readouterr().err
    two.write_text(header % "pick" + row.replace("front", "side"))  # another fold
    assert stad("--data", data, "--suspects", one, two) == 0
    two.write_text(header % "pick" + row.replace("front", "other"))
    assert stad("--data", data, "--suspects", two) == 2
    assert "expected detections of front, side" in capsys.readouterr().err
    assert stad("--data", data, "--suspects", tmp_path / "none.jsonl") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) >= 1


def test_actions_that_a_mirror_confuses_are_told(data, capsys):
    moving = '<box frame="{}" outside="0" xtl="{}" ytl="4" xbr="{}" ybr="14"/>'
    for name in ("front", "side"):
        tracks = "".join(
            f'<track id="{number}" label="{label}">'
            + "".join(moving.format(f, x, x + 10) for f, x in ((2, a), (9, b)))
            + moving.replace('outside="0"', 'outside="1"').format(10, b, b + 10)
            + "</track>"
            for number, (label, a, b) in enumerate([("pick", 5, 45), ("put", 45, 5)])
        )
        (data / "annotations" / f"{name}.xml").write_text(f"<annotations>{tracks}</annotations>")
    assert stad("--data", data) == 0
    assert (
        "Train with augment.flip=0, or set flip_labels: 'pick' goes right in 2 of 2 tracks, 'put' "
        "left in 2 of 2" in capsys.readouterr().out
    )


def test_the_zones_of_a_scene_are_drawn(data, tmp_path, capsys):
    scene = tmp_path / "scene.yaml"
    content = {
        "schema": "stad-scene/1",
        "cameras": {
            "front view": {"videos": ["front"], "zones": {"bin": [[0, 0], [0.5, 0], [0.5, 1]]}},
            "other": {"zones": {"tray": [[0, 0], [0.5, 0], [0.5, 1]]}},
        },
    }
    scene.write_text(json.dumps(content))
    out = tmp_path / "out"
    assert stad("--data", data, "--scene", scene, "--out", out) == 0
    assert [path.name for path in out.glob("zones-*")] == ["zones-front_view.png"]
    drawn = cv2.imread(str(out / "zones-front_view.png"))
    assert drawn.shape == (720, 960, 3)  # enlarged, to read the numbers of its grid
    assert (drawn != 90).any() and (drawn[:, 600:] == 90).any()
    assert stad("--data", data, "--scene", scene) != 0
    content["cameras"].pop("front view")
    scene.write_text(json.dumps(content))
    assert stad("--data", data, "--scene", scene, "--out", tmp_path / "b") != 0
    assert "expected a camera of one of the videos" in capsys.readouterr().err
