"""Whatever the route, sparse annotation gives one figure: validation in training, stad evaluate
from a checkpoint, and stad predict with stad evaluate on its file."""

import json

import numpy as np
import pytest
import torch
import yaml

from stadet.datasets.dataset import load_dataset
from stadet.datasets.splits.ranges import mask_to_ranges
from stadet.detect.detections.reader import read_detections
from stadet.detect.ultralytics_models.detector import UltralyticsDetector
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.runlog import read_events
from stadet.recurrent_yolo.temporal import TemporalBlock
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training.data import open_footage
from stadet.tools.training.scoring import score
from tests.detect.ultralytics_models.peers import tell_apart
from tests.recurrent_yolo.tiny import randomise

CPU = torch.device("cpu")
KINDS = ("yolo", "recurrent-yolo", "stacked-yolo", "yowo", "recurrent-ultralytics")


@pytest.fixture(scope="module")
def sparse(footage, tmp_path_factory):
    """The data set with half of its looked-at frames hidden in runs of 1 to 30, split by videos.

    Two of its four videos (the views of one scene) judge.
    """
    dataset, rng, looked_at = load_dataset(footage.dataset), np.random.default_rng(0), {}
    for video in dataset.annotations:
        mask = video.looked_at.copy()
        while mask.sum() > video.looked_at.sum() / 2:
            start, length = int(rng.integers(len(mask))), int(rng.integers(1, 31))
            mask[start : start + length] = False
        looked_at[video.name] = mask_to_ranges(mask)
    content = yaml.safe_load(footage.dataset.read_text())
    content.update(
        path=str(footage.dataset.parent),
        looked_at=looked_at,
        split={"method": "videos", "val": 0.5, "seed": 0},
    )
    path = tmp_path_factory.mktemp("sparse") / "dataset.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module", params=KINDS)
def run(request, footage, sparse, tmp_path_factory):
    """A run of one step whose best.pt then remembers strongly, and logs what validation gives."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    settings = (f"model={request.param}", f"data.dataset={sparse}", "data.size=[32, 64]")
    more = ("loop.max_steps=1", "yowo.reverse=0", f"data.cache={folder.parent / 'cache'}")
    assert footage.train(folder, *settings, *more) == 0
    detector = open_detector(folder / "best.pt")
    for module in detector.model.modules():
        if isinstance(module, TemporalBlock):
            randomise(module)
        elif isinstance(module, UltralyticsDetector):
            tell_apart(module)
    content = load_checkpoint(folder / "best.pt")
    content["model"] = detector.model.state_dict()
    save_checkpoint(folder / "best.pt", {k: v for k, v in content.items() if k != "schema"})
    return folder


def figures(folder):
    return json.loads((folder / "metrics.json").read_text())


def rows_of_judged_frames(path, truth):
    """(video, frame) -> (boxes, scores) of the looked-at frames in a detections file."""
    found = read_detections(path, truth.names)
    rows = {}
    for video in truth:
        detections = found.videos[video.name]
        for frame in np.flatnonzero(video.looked_at).tolist():
            mine = detections.frames == frame
            rows[video.name, frame] = (detections.boxes[mine], detections.scores[mine])
    return rows


def test_every_route_gives_one_figure(run, sparse, tmp_path):
    best, quiet = str(run / "best.pt"), ["--bootstrap", "0", "--gallery", "0"]
    dataset = load_dataset(sparse)
    truth = dataset.side("val")
    judged = ["evaluate", "--data", str(sparse), "--side", "val"]
    report = ["--out", str(tmp_path / "checkpoint"), *quiet]
    assert main(["evaluate", "--checkpoint", best, "--side", "val", *report]) == 0

    videos = [str(dataset.video_paths[name]) for name in truth.videos]
    assert len(videos) == 2
    file = tmp_path / "predicted.jsonl"
    start = ["predict", *videos, "--checkpoint", best, "--out", str(file), "--device", "cpu"]
    assert main([*start, "--window", "7", "--for-evaluation"]) == 0
    report = ["--detections", str(file), "--out", str(tmp_path / "predicted"), *quiet]
    assert main([*judged, *report]) == 0

    # many layers that nobody trained amplify what other windows round otherwise
    allowed = 1e-3 if "ultralytics" in run.parent.name else 1e-4
    ours = rows_of_judged_frames(tmp_path / "checkpoint" / "detections.jsonl", truth)
    theirs = rows_of_judged_frames(file, truth)
    total, lost = sum(len(boxes) for boxes, _ in ours.values()), 0
    assert total > 100
    for place, (boxes, scores) in ours.items():
        other_boxes, other_scores = theirs[place]
        assert len(boxes) == len(other_boxes), place
        if len(boxes):  # rows of equal scores may come in any order
            apart = np.abs(boxes[:, None] - other_boxes[None]).max(-1) / 0.02
            unlike = np.abs(scores[:, None] - other_scores[None]).max(-1) / allowed
            lost += int((np.maximum(apart, unlike).min(1) >= 1).sum())
    # of boxes that overlap by the limit of suppression, rounding may keep one or the other
    assert lost <= total / 1000

    detector = open_detector(run / "best.pt")
    footage = open_footage(detector.config.data, detector.config.recipe.reach())
    loader = footage.evaluation_loader("val", detector.model)
    validated = score(detector.model, loader, truth, detector.config.inference, CPU)
    wanted = figures(tmp_path / "predicted")["frame_map_50"]
    assert figures(tmp_path / "checkpoint")["frame_map_50"] == pytest.approx(wanted, abs=1e-4)
    assert validated["frame_map_50"] == pytest.approx(wanted, abs=1e-4)
    # streams that break where nobody looked, as they once did, give other scores
    if detector.model.follows_streams:
        broken = footage.evaluation_loader("val", detector.model).batch_sampler
        assert sum(request.starts_stream for batch in broken for request in batch) < 10


def test_training_passes_unseen_frames_without_a_loss(run, sparse, caplog):
    detector = open_detector(run / "best.pt")
    if not detector.model.follows_streams:
        pytest.skip("no streams")
    footage = open_footage(detector.config.data)
    train = footage.dataset.side("train")
    with caplog.at_level("INFO", logger="stadet"):
        sampler = detector.config.recipe.sampler(footage, train)
    assert "% of their frames are looked at" in caplog.text
    requests = [request for batch in sampler for request in batch]
    clips = footage.clips(train, None)
    shown, unseen = 0, 0
    for request in requests:
        clip = clips[request]
        looked_at = train.videos[request.video].looked_at[list(request.frames)]
        valid = clip.valid.numpy()
        assert np.array_equal(clip.targets.looked_at.numpy()[valid], looked_at[valid])
        shown, unseen = shown + valid.sum(), unseen + (valid & ~looked_at).sum()
    assert 0.2 < unseen / shown < 0.8


def test_a_run_says_what_its_streams_see(run, sparse, capsys):
    assert main(["describe", "--data", str(sparse)]) == 0
    said = capsys.readouterr().out
    dataset = load_dataset(sparse)
    for side in ("train", "val"):
        count = sum(int(video.looked_at.sum()) for video in dataset.side(side))
        assert f"  {side}: {count} of 240 frames looked at" in said
    assert read_events(run / "metrics.jsonl", "validation")
