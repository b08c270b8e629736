import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from stadet.configs import find_config
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.training.auto import STEP, box_speed, choose_settings
from stadet.tools.training.auto_train import MODELS
from stadet.tools.training.inherit import load_train_config


def footage(side=40.0, step=6.0, *, name="v", size=(360, 640), fps=30.0, frames=40, track=1):
    """One hand of `side` pixels that moves by `step` pixels a frame."""
    left = 10 + step * np.arange(frames)
    boxes = np.stack([left, np.full(frames, 20.0), left + side, np.full(frames, 20 + side)], axis=1)
    video = VideoAnnotations(
        name,
        size,
        fps,
        np.ones(frames, bool),
        np.arange(frames),
        boxes,
        np.ones((frames, 1), bool),
        np.full(frames, track),
    )
    return AnnotationSet(("take",), {name: video})


def settings(truth, *, reverses=True, device="cpu"):
    swapped = {"take": "take"} if reverses else {}
    chosen = choose_settings(truth, reverses=swapped, flip_labels={}, device=device)
    assert all(choice.why for choice in chosen)
    return {choice.key: choice.value for choice in chosen}


def test_a_small_box_gets_two_cells_of_the_finest_grid():
    found = settings(footage(side=40))
    assert found["data.size"] == [144, 256]  # 16 / 40 of the video
    assert found["yolo.strides"] == [8, 16] and found["data.resize"] == "stretch"


def test_the_network_is_not_larger_than_the_video_nor_than_its_device_affords():
    assert settings(footage(side=8, size=(96, 160)))["data.size"] == [96, 160]
    assert settings(footage(side=12, size=(720, 1280)))["data.size"][1] == 448
    assert settings(footage(side=12, size=(720, 1280)), device="cuda")["data.size"][1] == 736


def test_tiny_and_large_boxes_get_grids_of_their_own():
    assert settings(footage(side=12, size=(720, 1280)))["yolo.strides"] == [4, 8, 16]
    videos = footage(side=20, name="a").videos | footage(side=300, name="b").videos
    mixed = AnnotationSet(("take",), videos)
    found = settings(mixed)
    assert found["yolo.strides"] == [8, 16, 32] and found["yolo.num_anchors"] == 9
    assert all(side % 32 == 0 for side in found["data.size"])


@pytest.mark.parametrize("fps, step, every", [(30, 2.0, 3), (30, 6.0, 1), (60, 3.0, 2)])
def test_a_moving_hand_goes_a_seventh_of_its_size_between_two_frames(fps, step, every):
    truth = footage(side=40, step=step, fps=fps)
    assert box_speed(truth) == pytest.approx(step / 40 * fps)
    expected = "null" if every == 1 else pytest.approx(fps / every, abs=1e-3)
    assert settings(truth)["data.fps"] == expected


def test_rests_and_boxes_without_a_track_say_nothing_of_speed():
    assert box_speed(footage(step=0.0)) is None
    assert box_speed(footage(track=NO_TRACK)) is None
    assert "data.fps" not in settings(footage(track=NO_TRACK))


def test_without_reversals_nothing_runs_backwards():
    assert settings(footage(), reverses=False)["recurrent.sampler.reverse"] == 0
    assert settings(footage(), reverses=True)["recurrent.sampler.reverse"] == 0.5


def test_actions_that_a_mirror_confuses_are_not_flipped():
    there, back = footage(step=6.0).videos["v"], footage(step=-6.0).videos["v"]
    videos = {}
    for label, video in enumerate((there, back)):
        for number in range(2):
            labels = np.zeros((len(video.boxes), 2), bool)
            labels[:, label] = True
            name = f"{label}{number}"
            videos[name] = replace(video, name=name, labels=labels)
    truth = AnnotationSet(("take", "put"), videos)
    pair = {"take": "put", "put": "take"}
    chosen = choose_settings(truth, reverses=pair, flip_labels={}, device="cpu")
    (flip,) = [choice for choice in chosen if choice.key == "augment.flip"]
    assert flip.value == 0 and "'take' goes right" in flip.why and flip.model == ""
    exchanged = choose_settings(truth, reverses=pair, flip_labels=pair, device="cpu")
    assert all(choice.key != "augment.flip" for choice in exchanged)


@pytest.mark.parametrize(
    "frames, frame_steps, recurrent_steps",
    [(40, 1000, 1950), (2000, 3125, 7812), (9000, 6000, 12000)],
)
def test_few_frames_are_passed_over_a_limited_number_of_times(frames, frame_steps, recurrent_steps):
    truth = footage(frames=frames)
    chosen = choose_settings(truth, reverses={}, flip_labels={}, device="cpu")
    steps = {c.model: c.value for c in chosen if c.key == "loop.max_steps"}
    assert steps == {"frame": frame_steps, "recurrent": recurrent_steps}


def test_a_step_of_either_recipe_has_as_many_frames_as_the_passes_are_counted_with():
    frame, recurrent = (load_train_config(find_config(f"auto_{n}"), []) for n in MODELS)
    sampler = recurrent.recurrent.sampler
    assert frame.data.batch == sampler.lanes * sampler.window == STEP


def test_a_side_without_boxes_is_refused():
    empty = footage(frames=0)
    with pytest.raises(UserError, match="--auto: expected boxes"):
        choose_settings(empty, reverses={}, flip_labels={}, device="cpu")


def test_one_command_trains_both_and_compares_them(footage, tmp_path, capsys):
    out = tmp_path / "auto"
    quick = ["loop.max_steps=2", "data.workers=0", "yolo.width=0.0625", "loop.log_every=1"]
    command = ["train", "--auto", str(footage.dataset), f"output={out}", *quick]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "chosen: data.size=" in said and "side by side:" in said
    assert set(json.loads((out / "comparison" / "compare.json").read_text())["runs"]) == {
        "frame",
        "recurrent",
    }
    frame, recurrent = (
        yaml.safe_load((out / f"{n}.yaml").read_text()) for n in ("frame", "recurrent")
    )
    for key in ("size", "resize", "fps"):
        assert frame["data"][key] == recurrent["data"][key]
    assert recurrent["yolo"]["strides"] == frame["yolo"]["strides"]
    assert recurrent["yolo"]["weights"] == str(out / "frame" / "best.pt")
    assert main(command) == 0  # continues: nothing is left to do
    assert "trained before" in capsys.readouterr().out


def test_other_words_beside_auto_are_refused(capsys):
    assert main(["train", "--auto", "dataset.yaml", "demo_frame"]) == 2
    assert "--auto: expected key=value settings only" in capsys.readouterr().err
