"""Classifiers in the service: answers, timelines, and the steps of a routine."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from stadet.datasets.footage.writer import VideoWriter
from stadet.tools.cli import main
from stadet.tools.export import export
from tests.datasets.tiny_classes import write_classes
from tests.tools.service.conftest import send, wait


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with one classifier, and its exported file where onnxruntime is installed: videos
    are bright or dark."""
    folder = tmp_path_factory.mktemp("classifiers")
    data = write_classes(tmp_path_factory.mktemp("data"))
    settings = [
        "model.name=convlstm",
        "model.options={hidden: 6, grid: 2, dropout: 0.0, activation: tanh}",
        "input.size=[16, 24]",
        "input.workers=0",
        "input.batch=4",
        "sampling.frames=4",
        "loop.epochs=6",
        "loop.optimiser.lr=0.03",
        "augment.blur=0",
        "augment.noise=0",
        "augment.colour=0",
    ]
    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train-classifier", *settings, f"data.root={data}", f"output={run}"]) == 0
    shutil.copy(run / "best.pt", folder / "light.pt")
    if find_spec("onnx") and find_spec("onnxruntime"):
        export(folder / "light.pt", folder / "light.onnx")
    return folder


def film(path, levels, fps=10):
    """A grey video, one level a frame."""
    with VideoWriter(path, (48, 64), fps) as writer:
        for level in levels:
            writer.write(np.full((48, 64, 3), level, np.uint8))
    return path


def run(client, *videos, **wanted):
    uploads = [send(client, video) for video in videos]
    request = {"model": "light.pt", "uploads": uploads, **wanted}
    answer = client.post("/api/jobs", json=request)
    assert answer.status_code == 201, answer.text
    job = wait(client, answer.json()["id"])
    assert job["state"] == "done", job
    return job


def result(client, job, name):
    return client.get(f"/api/jobs/{job['id']}/results/{name}")


def test_a_class_for_each_video(client, tmp_path):
    videos = [film(tmp_path / "day.mp4", [200] * 8), film(tmp_path / "night.mp4", [50] * 8)]
    job = run(client, *videos, kind="classify")
    answers = result(client, job, "answers.json").json()
    assert [(row["video"], row["nearest"]) for row in answers] == [
        ("day.mp4", "bright"),
        ("night.mp4", "dark"),
    ]
    assert "day.mp4" in result(client, job, "answers.csv").text
    assert "night.mp4" in client.get(f"/jobs/{job['id']}").text


def test_missing_steps_are_named_and_done_ones_have_a_picture(client, tmp_path):
    videos = [film(tmp_path / f"{n}.mp4", [200 + n] * (8 + n)) for n in range(2)]
    job = run(client, *videos, kind="steps")
    steps = {row["step"]: row for row in result(client, job, "steps.json").json()}
    assert steps["bright"]["done"] and not steps["dark"]["done"]
    assert steps["bright"]["seconds"] == pytest.approx(1.7)  # 8 and 9 frames, ten a second
    assert set(steps["bright"]["videos"]) == {"0.mp4", "1.mp4"}
    picture = result(client, job, steps["bright"]["picture"])
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/jpeg"
    page = client.get(f"/jobs/{job['id']}").text
    assert "1 of 2 steps are missing: dark" in page and "done, 1.7 s" in page
    assert "light.pt" in client.get("/handwash").text


def test_a_long_video_as_a_timeline(client, tmp_path):
    video = film(tmp_path / "long.mp4", [215] * 30 + [35] * 30)
    job = run(client, video, kind="steps", window_seconds=1.0, min_seconds=0.5)
    steps = {row["step"]: row for row in result(client, job, "steps.json").json()}
    assert steps["bright"]["done"] and steps["dark"]["done"]
    for row in steps.values():
        assert 2.0 < row["seconds"] < 4.0
    answers = result(client, job, "answers.json").json()
    assert [row["class"] for row in answers] == ["bright", "dark"]
    assert answers[0]["end"] == pytest.approx(3.0, abs=0.6)


def test_a_step_that_is_too_short_has_no_picture(client, tmp_path):
    """Its time does not count either, nor that of a short stretch of one that is done."""
    video = film(tmp_path / "long.mp4", [215] * 30 + [35] * 12 + [215] * 12)
    job = run(client, video, kind="steps", window_seconds=0.5, min_seconds=2.0)
    rows = result(client, job, "answers.json").json()
    assert {row["class"] for row in rows} == {"bright", "dark"}
    steps = {row["step"]: row for row in result(client, job, "steps.json").json()}
    missing = {"step": "dark", "done": False, "seconds": 0, "videos": [], "picture": None}
    assert steps["dark"] == missing
    lasting = [r["end"] - r["start"] for r in rows if r["class"] == "bright"]
    assert steps["bright"]["seconds"] == pytest.approx(sum(s for s in lasting if s >= 2), abs=0.01)
    assert len(lasting) == 2 and min(lasting) < 2


def test_a_detector_is_asked_for(client, tmp_path):
    upload = send(client, film(tmp_path / "a.mp4", [200] * 8))
    request = {"kind": "detect", "model": "light.pt", "uploads": [upload]}
    answer = client.post("/api/jobs", json=request)
    assert answer.status_code == 422 and "cannot do detect" in answer.json()["detail"]


@pytest.mark.parametrize("wanted", [{}, {"window_seconds": 1.0, "min_seconds": 0.5}])
def test_an_exported_file_answers_as_its_checkpoint(client, tmp_path, wanted):
    """A whole job each, with the windows of a long video and without."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    video = film(tmp_path / "both.mp4", [215] * 25 + [35] * 35)
    answers, steps = [], []
    for model in ("light.pt", "light.onnx"):
        job = run(client, video, kind="steps", model=model, **wanted)
        answers.append(result(client, job, "answers.json").json())
        steps.append(result(client, job, "steps.json").json())
    assert [row["class"] for row in answers[0]] == (["bright", "dark"] if wanted else ["bright"])
    for ours, theirs in zip(*answers, strict=True):
        assert ours.pop("score") == pytest.approx(theirs.pop("score"), abs=2e-4)  # rounded to 1e-4
        assert ours == theirs
    assert steps[0] == steps[1]
