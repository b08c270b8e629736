"""Counts of the generator's annotation against the script that its hands follow."""

import sys
from pathlib import Path

import pytest

from stadet.datasets.restaurant import FootageConfig
from stadet.detect.tubes.truth import truth_tube_set
from stadet.tools.counts import take_counts

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def checkout(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import checkout

    yield checkout
    for name in ("checkout", "experiment"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("one_action", [False, True])
def test_exact_annotation_gives_what_the_script_says(checkout, tmp_path, one_action):
    config = FootageConfig(
        size=(128, 224),
        names=checkout.CLASSES,
        views=1,
        unseen_share=0.0,
        minutes=4.0,
        scenes=2,
        seed=3,
        **checkout.LOOKS,
    )
    scenes, services = zip(*(checkout.serve(config, n) for n in range(2)), strict=True)
    assert sum(len(service.meals) for service in services) >= 6
    assert sum(service.uses["hands"] for service in services) >= 2
    truth = checkout.annotations(scenes, imperfect=False)
    path = checkout.scene_file(tmp_path / "scene.yaml", scenes, one_action)
    result = take_counts(path, ground_truth=truth)
    hits = checkout.hits_of(path, truth_tube_set(truth), scenes)
    checkout.check_script(result, services, sum(rule == checkout.BARE for rule, *_ in hits))
    moved = {}
    for service in services:
        for content, change in service.moves:
            moved[content] = moved.get(content, 0) + change
    for content, change in moved.items():
        left = [s.final - s.initial for s in result.counts.stock if s.bin == content]
        assert sum(left) == change
