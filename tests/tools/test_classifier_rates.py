"""A classifier that knows the rate of its training, on footage of other rates."""

import csv
from fractions import Fraction

import numpy as np
import pytest

from stadet.datasets.clips.timing import Timing
from stadet.datasets.footage.video import Video
from stadet.datasets.labelled.clip_sampling import evaluation_clips
from stadet.datasets.splits.split import Split
from stadet.engine.checkpoint import save_checkpoint
from stadet.engine.config import from_dict
from stadet.tools.classification.checkpoint import (
    build_classifier,
    checkpoint_description,
    open_classifier,
)
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.classification.video_answers import open_classifier as open_for_use
from stadet.tools.cli import main
from tests.datasets.numbered_videos import numbered_frame, write_numbered

SIZE = (16, 24)
FRAMES_30 = np.stack([numbered_frame(number, (32, 64)) for number in range(60)])
POLICIES = {
    "uniform-frames": {"frames": 5},
    "dense": {"frames": 5},
    "one-clip": {"frames": 8},
    "uniform-clips": {"frames": 4, "clips": 3},
    "strided": {"frames": 4, "step": 3},
}


def checkpoint(path, policy="one-clip", timing=None, **sampling):
    settings = {
        "model": {
            "name": "convlstm",
            "options": {"hidden": 6, "grid": 2, "dropout": 0.0, "activation": "tanh"},
        },
        "input": {"size": list(SIZE)},
        "sampling": {"policy": policy, **sampling},
    }
    config = from_dict(ClassifierConfig, settings, "a test")
    heads = [["wave", "sit"]]
    model = build_classifier(config, heads)
    description = checkpoint_description(config, heads, Split({}).record(), timing)
    save_checkpoint(path, {**description, "model": model.state_dict()})
    return path


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_moments_have_the_same_answers_at_twice_the_rate(tmp_path, policy):
    path = checkpoint(tmp_path / "a.pt", policy, Timing(15.0), **POLICIES[policy])
    classifier = open_for_use(path, "cpu")
    fast = Video.from_array(FRAMES_30, fps=30)
    trained = Video.from_array(FRAMES_30[::2], fps=15)
    assert (classifier(fast).probabilities == classifier(trained).probabilities).all()
    native = open_for_use(path, "cpu", rate="native")(fast)
    if policy not in ("uniform-frames", "dense"):  # those span the whole video at any rate
        assert (native.probabilities != classifier(trained).probabilities).any()
    one, other = classifier.watch(fast, 0.8, 0.4), classifier.watch(trained, 0.8, 0.4)
    assert one.starts.tolist() == other.starts.tolist()
    assert np.abs(one.probabilities - other.probabilities).max() < 1e-6


def test_clips_of_an_uneven_video_are_even_in_time(tmp_path):
    path = checkpoint(tmp_path / "a.pt", "strided", Timing(15.0), frames=4, step=3)
    times = np.cumsum([0, *np.random.default_rng(0).choice([1 / 60, 1 / 30, 1 / 15], 80)])
    write_numbered(tmp_path / "v.mp4", count=81, pts=np.rint(times * 90_000).astype(int).tolist())
    classifier = open_for_use(path, "cpu")
    from stadet.datasets.footage.video import open_video

    video = open_video(tmp_path / "v.mp4")
    assert "shown to the model at 15 fps" in classifier.rate_note(video)
    (clip,) = classifier.clips_of(video, 0, 81)
    gaps = np.diff(times[clip]) * 15
    assert (np.abs(gaps - 3) <= 1).all()
    assert evaluation_clips(81, classifier.file.config.sampling)[0].tolist() != clip.tolist()


def test_a_checkpoint_without_a_rate_says_so(tmp_path, capsys):
    path = checkpoint(tmp_path / "old.pt", frames=8)
    write_numbered(tmp_path / "v.mp4", count=30, size=(32, 64))
    command = ["classify", str(tmp_path / "v.mp4"), "--checkpoint", str(path), "--device", "cpu"]
    assert main(command) == 0
    assert "does not say at what frame rate it was trained" in capsys.readouterr().err
    assert main([*command, "--fps", "native"]) == 0
    assert "frame rate" not in capsys.readouterr().err
    assert main([*command, "--fps", "-1"]) == 2


def test_sliding_windows_are_where_the_frames_are_in_time(tmp_path):
    path = checkpoint(tmp_path / "a.pt", "dense", Timing(15.0), frames=4)
    gaps = [1 / 25] * 40 + [1 / 5] * 40
    times = np.cumsum([0, *gaps])
    ticks = np.rint(times * 90_000).astype(int).tolist()
    write_numbered(tmp_path / "v.mp4", count=81, pts=ticks, size=(32, 64))
    out = tmp_path / "out"
    command = ["classify", str(tmp_path / "v.mp4"), "--checkpoint", str(path), "--out", str(out)]
    assert main([*command, "--device", "cpu", "--sliding", "1", "--stride", "0.5"]) == 0
    rows = list(csv.DictReader((out / "timeline.csv").open()))
    starts = [float(row["start_s"]) for row in rows[:-1]]
    wanted = [times[times >= 0.5 * number - 1e-6].min() for number in range(len(starts))]
    assert starts == pytest.approx(wanted, abs=1e-3)
    assert len(starts) == 18  # every half second of 9.8 s, and the last second


def test_training_on_several_rates_stores_the_common_one(tmp_path, capsys):
    count = 20  # of each video another, so that no two have the same content
    for side, name in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
        folder = tmp_path / "data" / side / name
        folder.mkdir(parents=True)
        for number, rate in enumerate((30, 15, Fraction(15000, 1001))):
            path = folder / f"{side}{name}{number}.mp4"
            write_numbered(path, count=count + 3 * number, rate=rate, size=(32, 64))
        count += 1
    settings = [
        "model.name=convlstm",
        "model.options={hidden: 6, grid: 2, dropout: 0.0}",
        f"input.size=[{SIZE[0]}, {SIZE[1]}]",
        "input.workers=0",
        "sampling.frames=4",
        "sampling.policy=one-clip",
        "loop.max_steps=1",
        f"data.root={tmp_path / 'data'}",
        f"output={tmp_path / 'run'}",
    ]
    assert main(["train-classifier", *settings]) == 0
    said = "frames are shown at 15 fps, the rate of most of the footage (14.99, 15, 30)"
    assert said in capsys.readouterr().out
    file = open_classifier(tmp_path / "run" / "best.pt")
    assert file.timing.fps == 15 and file.timing.seconds == pytest.approx(1 / 15)
    # a video of 20 frames at 30 a second has 10 ticks, too few for a clip of 12
    longer = [*settings[:4], "sampling.frames=12", *settings[5:-1], f"output={tmp_path / 'b'}"]
    assert main(["train-classifier", *longer]) == 2
    assert "has 10 frames, a clip needs 12" in capsys.readouterr().err
