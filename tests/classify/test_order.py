"""On exact time reversals, averaging over time stays at chance and temporal models do not."""

import json

import pytest

from stadet.datasets.labelled.reversals import write_reversals
from stadet.tools import train_classifier
from stadet.tools.cli import run_verb

pytestmark = pytest.mark.slow

COMMON = (
    "input.size=[48, 72]",
    "input.workers=0",
    "sampling.frames=8",
    "sampling.policy=dense",
    "sampling.jitter=false",
    "augment.zoom=[1, 1]",
    "augment.aspect=0",
    "augment.noise=0",
    "augment.blur=0",
    "loop.optimiser.lr=2e-3",
    "loop.schedule.name=onecycle",
    "loop.schedule.warmup=0.3",
)


@pytest.fixture(scope="module")
def reversals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("order") / "data"
    return write_reversals(folder, performances=60, pairs=1, size=(48, 72))


def accuracy(data, run, *settings):
    arguments = [*COMMON, f"data.root={data}", f"output={run}", *settings]
    assert run_verb(train_classifier, arguments) == 0
    return json.loads((run / "report" / "metrics.json").read_text())["top1"]


def test_late_fusion_by_averaging_is_at_chance(reversals, tmp_path):
    settings = (
        "model.name=late_fusion_average",
        "model.options={backbone: resnet18, trainable: true, embedding: 32}",
        "loop.epochs=1",
    )
    # a video and its reversal get one answer, so exactly one of the two is right
    assert accuracy(reversals, tmp_path / "run", *settings) == 0.5


def test_a_temporal_model_sees_the_order(reversals, tmp_path):
    settings = (
        "model.name=resnet3d",
        "model.options={width: 0.25, dropout: 0.2}",
        "loop.epochs=30",
    )
    assert accuracy(reversals, tmp_path / "run", *settings) > 0.9
