"""On a GPU: training begins with the CPU's losses, and predictions are the CPU's."""

import numpy as np
import pytest
import torch

from stadet.datasets.dataset import load_dataset
from stadet.detect.detections.reader import read_detections
from stadet.engine.runlog import read_events
from stadet.tools.cli import main
from stadet.tools.training.train import train as train_model
from tests.tools.conftest import Footage

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MODELS = ["yolo", "recurrent-yolo", "stacked-yolo", "yowo"]


def config_of(footage: Footage, folder, *more):
    from stadet.tools.training.inherit import load_train_config

    return load_train_config(None, footage.settings(folder, *more))


@pytest.fixture(autouse=True)
def exact_products():
    """TF32 would round what is compared here."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("model", MODELS)
def test_training_begins_with_the_losses_of_the_cpu(model, footage, tmp_path, monkeypatch):
    # YOWO's fusion drops channels, others on each device
    monkeypatch.setattr(torch.nn.Dropout2d, "forward", lambda _, x: x)
    logged = []
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        settings = (f"model={model}", "loop.max_steps=1", f"data.cache={tmp_path / 'cache'}")
        train_model(config_of(footage, folder, *settings), device=torch.device(device))
        (event,) = read_events(folder / "metrics.jsonl", "train")
        names = {"box", "objectness", "confidence", "class"} & set(event)
        logged.append({name: event[name] for name in sorted(names)})
        assert len(logged[-1]) == 3
    assert logged[1] == pytest.approx(logged[0], rel=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_predictions_are_those_of_the_cpu(model, footage, tmp_path):
    run = tmp_path / "run"
    more = (f"model={model}", "loop.precision=bf16", "loop.channels_last=true")
    assert footage.train(run, *more) == 0
    found = []
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.jsonl"
        checkpoint = ["--checkpoint", str(run / "best.pt"), "--for-evaluation"]
        arguments = ["predict", str(footage.video), *checkpoint]
        assert main([*arguments, "--device", device, "--out", str(out)]) == 0
        names = load_dataset(footage.dataset).annotations.names
        (video,) = read_detections(out, names).videos.values()
        found.append(video)
    # boxes of nearly equal scores may change places
    cpu, cuda = (np.sort(v.scores.max(axis=1)) for v in found)
    assert len(cpu) == len(cuda) > 0
    assert np.abs(cpu - cuda).max() < 1e-3


def test_a_resumed_run_continues_on_the_gpu(footage, tmp_path):
    settings = ("model=recurrent-yolo", "loop.until=plateau", "loop.max_steps=4")
    assert footage.train(tmp_path / "run", *settings) == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "loop.max_steps=8"]) == 0
    steps = [e["step"] for e in read_events(tmp_path / "run" / "metrics.jsonl", "train")]
    assert steps == list(range(1, 9))
