"""Why a rule has no hit."""

import numpy as np

from stadet.detect.scene.file import parse_scene
from stadet.detect.scene.unmet import condition_counts, why_unmet
from stadet.detect.structures import Tube
from stadet.detect.tubes.tube_set import VideoTubes

NAMES = ("hand", "wipe")
RULES = [
    {"name": "in", "kind": "presence", "classes": ["hand"], "zone": "bin", "min_score": 0.5},
    {"name": "top", "kind": "presence", "classes": ["hand"], "zone": "bin", "anchor": "top"},
    {"name": "steps", "kind": "sequence", "within": 9, "steps": [{"classes": ["hand"]}, {}]},
    {"name": "dry", "kind": "absence", "within": 9, "after": {}, "expect": {"classes": ["wipe"]}},
    {"name": "there", "kind": "presence", "zone": "till"},
]
SCENE = parse_scene(
    {
        "schema": "stad-scene/1",
        "cameras": {
            "counter": {"zones": {"bin": [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]}},
            "side": {"zones": {"till": [[0, 0], [0.5, 0], [0.5, 0.5]]}},
        },
        "rules": RULES,
    },
    "scene.yaml",
)


def test_tubes_of_the_classes_with_the_score_in_the_zone():
    tall, far = np.array([[10.0, 30, 30, 90]]), np.array([[150.0, 20, 170, 60]])
    tubes = [
        Tube(0, np.concatenate([far, tall]), 0, 0.8),  # its centre is below the zone, its top not
        Tube(5, tall, 0, 0.4),
        Tube(7, far, 0, 0.9),
        Tube(9, far, 1, 0.9),
    ]
    seen = [(SCENE.cameras["counter"], VideoTubes("counter", tubes, 10.0), (100, 200))]
    lines = {
        rule.name: list(why_unmet(rule, condition_counts(rule, seen, NAMES)))
        for rule in SCENE.rules
    }
    assert lines["in"] == [
        "3 tubes of its classes, 2 of them with a score of 0.5 (min_score), 0 with their centre in "
        "zone 'bin'"
    ]
    assert lines["top"] == ["3 tubes of its classes, 2 with their upper side in zone 'bin'"]
    assert lines["steps"] == ["step 1: 3 tubes of its classes", "step 2: 4 tubes of its classes"]
    assert lines["dry"] == ["after: 4 tubes of its classes", "expect: 1 tubes of its classes"]
    assert lines["there"] == ["holds in no camera of these videos"]
