"""Actors of tubes, and of what is made of tubes and of detections."""

import csv

import numpy as np
import pytest

from stadet.datasets.drafts import DraftOptions, draft_annotations
from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.cvat import read_cvat, write_cvat
from stadet.detect.actors.tubes import tubes_with_actors
from stadet.detect.clock import Clock
from stadet.detect.detections.collect import collect_detections
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import write_detections
from stadet.detect.drawing.render import Canvas
from stadet.detect.scene.hits import hits_in_tubes
from stadet.detect.scene.scene import Camera, Condition, Rule, Scene
from stadet.detect.structures import NO_TRACK, Detections, Tube
from stadet.detect.tubes.events import EventOptions, find_events, write_events
from stadet.detect.tubes.file import read_tubes, write_tubes
from stadet.detect.tubes.linking import LinkOptions, link_video
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError

NAMES = ("take", "put")
INFO = VideoInfo("v", (240, 320), 10.0, 60, None)


def video(rows, frames=60):
    """rows: (frame, x, class, score, actor) of boxes of 40 x 60."""
    rows = sorted(rows, key=lambda row: row[0])
    scores = np.zeros((len(rows), 2))
    scores[np.arange(len(rows)), [row[2] for row in rows]] = [row[3] for row in rows]
    left = np.array([row[1] for row in rows], dtype=float)
    return VideoDetections(
        "v",
        np.array([row[0] for row in rows]),
        np.stack([left, np.full(len(rows), 30.0), left + 40, np.full(len(rows), 90.0)], axis=1),
        np.full(len(rows), np.nan),
        scores,
        np.array([[0, frames - 1]]),
        Clock(10.0),
        np.array([row[4] for row in rows]),
    )


def hand(frames, label, actor, x=50.0, score=0.9):
    return [(f, x, label, score, actor) for f in frames]


# actor 3 takes, is hidden for half a second, and puts; actor 5 takes beside it
ROWS = hand(range(5, 20), 0, 3) + hand(range(25, 40), 1, 3) + hand(range(10, 30), 0, 5, x=200)


def tube_set(rows=ROWS):
    found = video(rows)
    tubes = tubes_with_actors(link_video(found, LinkOptions(max_gap=2)), found)
    return TubeSet(NAMES, {"v": VideoTubes("v", tubes, 10.0, 60)})


def test_a_tube_has_the_actor_of_most_of_its_boxes():
    rows = hand(range(0, 4), 0, 8) + hand(range(4, 12), 0, 3) + hand([12], 0, NO_TRACK)
    rows += hand(range(0, 12), 1, 9)  # another class at the place says nothing of class 0
    found = video(rows)
    tubes = tubes_with_actors(link_video(found), found)
    assert {NAMES[tube.label]: tube.actor for tube in tubes} == {"take": 3, "put": 9}
    (loose,) = tubes_with_actors([Tube(0, np.tile([200.0, 0, 240, 60], (5, 1)), 0)], found)
    assert loose.actor is None


def test_the_tube_file_keeps_actors(tmp_path):
    tubes = tube_set()
    write_tubes(tmp_path / "t.json", tubes)
    read = read_tubes(tmp_path / "t.json").videos["v"].tubes
    assert [tube.actor for tube in read] == [3, 5, 3]
    text = (tmp_path / "t.json").read_text()
    assert text.count('"actor"') == 3
    (tmp_path / "t.json").write_text(text.replace('"actor": 5', '"actor": "five"'))
    with pytest.raises(UserError, match="video 'v': tube 1: actor"):
        read_tubes(tmp_path / "t.json")


def test_events_have_actors_and_an_actors_pause_is_joined_wherever_it_comes_back(tmp_path):
    rows = hand(range(5, 15), 0, 3) + hand(range(18, 28), 0, 3, x=120)
    rows += hand(range(5, 15), 1, 6, x=220) + hand(range(18, 28), 1, 7, x=220)  # two actors
    events = find_events(tube_set(rows), EventOptions(join_seconds=0.5))
    found = sorted((NAMES[e.label], e.actor, len(e.tubes)) for e in events)
    assert found == [("put", 6, 1), ("put", 7, 1), ("take", 3, 2)]
    write_events(tmp_path / "e.csv", events, NAMES)
    with open(tmp_path / "e.csv", newline="") as stream:
        assert sorted(row["actor"] for row in csv.DictReader(stream)) == ["3", "6", "7"]


def scene(**keys):
    camera = Camera("c", ("v",), lines={"middle": ((0.5, 0.0), (0.5, 1.0))})
    return Scene("scene", {"c": camera}, (Rule("r", **keys),)), camera


def hits(tubes, **keys):
    file, camera = scene(**keys)
    return hits_in_tubes(file, camera, tubes.videos["v"], NAMES, (240, 320))


def test_rules_by_actor_go_over_several_classes():
    steps = (Condition(("take",)), Condition(("put",)))
    keys = {"kind": "sequence", "steps": steps, "within": 10.0, "same_actor": True}
    assert [hit.actor for hit in hits(tube_set(), **keys)] == [3]
    unknown = tube_set([(*row[:4], NO_TRACK) for row in ROWS])
    assert hits(unknown, **keys) == []  # tubes of one class each


def test_two_boxes_of_an_actor_on_both_sides_of_a_line_cross_nothing():
    rows = hand(range(5, 30), 0, 3, x=135) + hand(range(5, 30), 1, 3, x=145, score=0.5)
    keys = {"kind": "crossing", "line": "middle", "when": Condition(None)}
    assert hits(tube_set(rows), **keys) == []
    moved = [(f, 100 + 3.0 * f, 0, 0.9, 3) for f in range(5, 30)]
    assert [hit.actor for hit in hits(tube_set(moved), **keys)] == [3]


def test_a_draft_is_one_track_an_actor_and_cvat_joins_it_again(tmp_path):
    draft = draft_annotations(video(ROWS), INFO, DraftOptions(smooth=0)).annotations
    found = sorted(
        (
            int(t),
            sorted(NAMES[c] for c in np.flatnonzero(draft.labels[draft.track_ids == t].any(0))),
        )
        for t in np.unique(draft.track_ids)
    )
    assert found == [(0, ["put", "take"]), (1, ["take"])]
    write_cvat(tmp_path / "v.xml", draft, NAMES)
    assert (tmp_path / "v.xml").read_text().count("<track ") == 3
    back = read_cvat(tmp_path, videos={"v": INFO}, names=NAMES).videos["v"]
    assert len(np.unique(back.track_ids)) == 2


def test_an_actor_at_two_places_is_two_tracks():
    rows = hand(range(5, 30), 0, 3) + hand(range(5, 30), 0, 3, x=200)
    draft = draft_annotations(video(rows), INFO, DraftOptions(smooth=0)).annotations
    pairs = np.stack([draft.frames, draft.track_ids], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs) == 50


def test_detections_files_keep_actors(tmp_path):
    found = video([*ROWS, *hand([50], 0, NO_TRACK)])
    parts = [found[f] for f in range(60)]
    assert parts[50].actor_ids.tolist() == [NO_TRACK] and parts[6].actor_ids.tolist() == [3]
    names = [Detections(**{**vars(p), "names": NAMES, "frame": f}) for f, p in enumerate(parts)]
    together = collect_detections(names)
    assert together.videos["video"].actor_ids.tolist() == found.actor_ids.tolist()
    for name in ("d.jsonl", "d.jsonl.gz", "d.parquet"):
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
        write_detections(tmp_path / name, together)
        read = read_detections(tmp_path / name).videos["video"]
        assert read.actor_ids.tolist() == found.actor_ids.tolist()
        np.testing.assert_allclose(read.boxes, found.boxes, atol=1e-3)
        assert read.processed.tolist() == [[0, 59]]
    text = (tmp_path / "d.jsonl").read_text()
    for bad in ("-2", "true", "1.5", '"a"', "99999999999999999999"):
        (tmp_path / "bad.jsonl").write_text(text.replace('"actor": 5', f'"actor": {bad}'))
        read = read_detections(tmp_path / "bad.jsonl")
        assert len(read) == len(found) - 20 and 'expected "actor"' in read.notes[0]


def test_detections_carry_actors_through_everything():
    found = Detections(
        np.array([[0.0, 0, 5, 5], [9, 9, 20, 20]]),
        np.full(2, np.nan),
        np.array([[0.9, 0], [0, 0.4]]),
        NAMES,
        actor_ids=np.array([4, NO_TRACK]),
    )
    assert found.above(0.5).actor_ids.tolist() == [4] and found[1].actor_ids.tolist() == [NO_TRACK]
    plain = Detections(found.boxes, found.objectness, found.scores, NAMES)
    assert Detections.merge([plain, found]).actor_ids.tolist() == [NO_TRACK, NO_TRACK, 4, NO_TRACK]
    assert Detections.merge([plain, plain]).actor_ids is None
    assert [row.get("actor") for row in found.to_dict()["detections"]] == [4, None]
    assert found.to_pandas()["actor"].tolist() == [4, NO_TRACK]
    back = Detections.from_supervision(found.to_supervision(), NAMES)
    assert back.actor_ids.tolist() == [4, NO_TRACK]
    with pytest.raises(ValueError, match="actor_ids"):
        Detections(found.boxes, found.objectness, found.scores, actor_ids=np.zeros(3))


def test_the_actor_is_drawn():
    def drawn(**keys):
        image = np.zeros((120, 200, 3), np.uint8)
        boxes = np.array([[20.0, 40, 90, 100]])
        with Canvas(image, NAMES) as canvas:
            canvas.detections(Detections(boxes, np.ones(1), np.array([[0.9, 0]]), **keys))
        return image

    assert (drawn() != drawn(actor_ids=np.array([7]))).any()
    assert (drawn() == drawn(actor_ids=np.array([NO_TRACK]))).all()
