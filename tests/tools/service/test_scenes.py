"""Scene files over HTTP: what is handed out, what is written, what is refused."""

from __future__ import annotations

import json
import os
from collections import Counter

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stadet.datasets.footage.video import open_video
from stadet.detect.scene.file import read_scene
from stadet.engine.errors import UserError
from stadet.tools.service.settings import ServiceSettings
from stadet.tools.streams.page import LivePage
from tests.tools.service.conftest import send, wait

SCENE = """\
schema: stad-scene/1   # agreed on Monday
cameras:
  counter:
    videos: ["monday*"]
    zones:
      bin: [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]
    lines:
      door: [[0.5, 1], [0.5, 0]]
rules:
  - {name: touched, kind: presence, zone: bin}
"""
MOVED = [[0.15, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]
CROSSED = [[0.1, 0.1], [0.4, 0.5], [0.4, 0.1], [0.1, 0.5]]


@pytest.fixture
def scenes(tmp_path):
    folder = tmp_path / "scenes"
    (folder / "ground floor").mkdir(parents=True)
    (folder / "ground floor" / "counter.yaml").write_text(SCENE)
    (folder / "broken.yaml").write_text("schema: stad-scene/1\ncameras: []\n")
    (folder / "dataset.yaml").write_text("format: cvat\n")
    (tmp_path / "secret.yaml").write_text(SCENE)
    return folder


@pytest.fixture
def client(make_client, scenes):
    return make_client(scenes=scenes)


ADDRESS = "/api/scenes/ground%20floor/counter.yaml"


def change(client, zones=None, digest=None, **more):
    """The answer to other zones of the counter: [(name, points, name in the file)]."""
    digest = client.get(ADDRESS).json()["digest"] if digest is None else digest
    shapes = [{"name": n, "points": p, "was": w} for n, p, w in zones or []]
    body = {"digest": digest, "cameras": {"counter": {"zones": shapes}}, **more}
    return client.put(ADDRESS, json=body)


def test_scenes_are_listed_and_shown(client):
    broken, counter = client.get("/api/scenes").json()
    assert broken["name"] == "broken.yaml" and "cameras: expected key" in broken["message"]
    assert counter == {"name": "ground floor/counter.yaml", "message": ""}
    found = client.get(ADDRESS).json()
    assert found["cameras"]["counter"] == {
        "videos": ["monday*"],
        "size": None,
        "zones": [{"name": "bin", "points": [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]}],
        "lines": [{"name": "door", "points": [[0.5, 1], [0.5, 0]]}],
    }
    (rule,) = found["rules"]
    assert (rule["name"], rule["kind"], rule["zones"], rule["line"]) == (
        *("touched", "presence"),
        *(["bin"], None),
    )
    page = client.get("/scenes").text
    assert "/scenes/ground%20floor/counter.yaml" in page and "dataset.yaml" not in page
    assert client.get("/scenes/ground%20floor/counter.yaml").status_code == 200
    broken = client.get("/scenes/broken.yaml")
    assert broken.status_code == 422 and "cannot be edited here" in broken.text


def test_changes_are_written_and_the_rest_stays(client, scenes):
    path = scenes / "ground floor" / "counter.yaml"
    path.chmod(0o640)
    answer = change(client, [("bin", MOVED, "bin"), ("tray", MOVED[:3], None)])
    assert answer.status_code == 200
    assert answer.json()["digest"] == client.get(ADDRESS).json()["digest"]
    camera = read_scene(path).cameras["counter"]
    assert camera.zones["bin"].tolist() == MOVED and camera.zones["tray"].tolist() == MOVED[:3]
    tray = "      tray: [[0.15, 0.1], [0.4, 0.1], [0.4, 0.5]]\n"
    expected = SCENE.replace("[[0.1, 0.1]", "[[0.15, 0.1]").replace("    lines", f"{tray}    lines")
    assert path.read_text() == expected
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in path.parent.iterdir()) == ["counter.yaml"]


@pytest.mark.parametrize(
    ("zones", "place", "words"),
    [
        ([("bin", CROSSED, "bin")], ["cameras", "counter", "zones", "bin"], "cross itself"),
        ([("bin", MOVED[:2], "bin")], ["cameras", "counter", "zones", "bin"], "three points"),
        ([], ["rules", "touched"], "zone 'bin' is unknown"),
        (
            [("bin", MOVED, "bin"), ("bin", MOVED, None)],
            ["cameras", "counter", "zones", "bin"],
            "two are called 'bin'",
        ),
        (
            [("bin", MOVED, "bin"), (" ", MOVED, None)],
            ["cameras", "counter", "zones", " "],
            "a name",
        ),
        ([("bin", MOVED, "bun")], [], "zones have changed"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(client, scenes, zones, place, words):
    answer = change(client, zones)
    assert (answer.status_code, answer.json().get("place", [])) == (422, place)
    assert words in answer.json()["detail"] and "\n" not in answer.json()["detail"]
    assert str(scenes) not in answer.text
    assert (scenes / "ground floor" / "counter.yaml").read_text() == SCENE


@pytest.mark.parametrize(
    "body",
    [
        {"cameras": {}},
        {"digest": "x", "cameras": {"counter": {"zones": [{"name": "a", "points": [[2, 0]] * 3}]}}},
        {"digest": "x", "cameras": {"counter": {"zones": [{"name": "a", "points": [[0]]}]}}},
        {"digest": "x", "cameras": {"counter": {"zones": [{"name": "a" * 201, "points": []}]}}},
    ],
)
def test_bodies_of_another_form(client, body):
    answer = client.put(ADDRESS, json=body)
    assert answer.status_code == 422 and isinstance(answer.json()["detail"], str)


def test_a_file_that_somebody_else_changed_is_not_overwritten(client, scenes):
    path = scenes / "ground floor" / "counter.yaml"
    digest = client.get(ADDRESS).json()["digest"]
    others = SCENE.replace("0.5, 1", "0.5, 0.9")
    path.write_text(others)
    answer = change(client, [("bin", MOVED, "bin")], digest)
    assert answer.status_code == 409 and "changed by somebody else" in answer.json()["detail"]
    assert path.read_text() == others
    assert change(client, [("bin", MOVED, "bin")]).status_code == 200  # loaded again
    assert change(client, [("bin", MOVED, "bin")], digest).status_code == 409


@pytest.mark.parametrize("name", ["../secret.yaml", "/etc/passwd", "dataset.yaml", "x", "%00"])
def test_names_lead_nowhere_else(client, name):
    quoted = name.replace("/", "%2f")
    for answer in (
        client.get(f"/api/scenes/{quoted}"),
        client.get(f"/scenes/{quoted}"),
        client.put(f"/api/scenes/{quoted}", json={"digest": "", "cameras": {}}),
    ):
        assert answer.status_code == 404 and "none" in answer.json()["detail"]


def test_files_that_cannot_be_written(client, scenes, monkeypatch):
    path = scenes / "ground floor" / "counter.yaml"
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)  # root may write everywhere
        answer = change(client, [("bin", MOVED, "bin")])
        assert answer.status_code == 422 and "may not write it" in answer.json()["detail"]

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        answer = change(client, [("bin", MOVED, "bin")])
        assert answer.status_code == 422 and "disk is full" in answer.json()["detail"]
        assert str(scenes) not in answer.text
    assert path.read_text() == SCENE and len(list(path.parent.iterdir())) == 1


def shapes(names):
    """Bodies that are nearly right, and others."""
    sides = st.one_of(st.floats(0, 1), st.sampled_from([0, 1, -1, 1e-9, None, "0.5"]))
    points = st.one_of(
        st.sampled_from([MOVED, MOVED[:3], MOVED[:2]]),
        st.lists(st.lists(sides, min_size=2, max_size=2), max_size=6),
    )
    odd = st.one_of(st.sampled_from(["", "\n", "*a", "é🎬", "yes", "\u2028", "x: y"]), st.text())
    one = st.fixed_dictionaries(
        {"name": st.one_of(names, odd), "points": points},
        optional={"was": st.one_of(names, odd, st.none())},
    )
    bin_ = {"name": "bin", "points": MOVED, "was": "bin"}
    return st.one_of(
        st.none(),
        st.lists(one, max_size=4),
        st.lists(one, max_size=2).map(lambda more: [bin_, *more]),
    )


def test_random_changes_leave_a_scene_file(client, scenes):
    """Whatever is sent, the file can be read, its rules are kept and its comments stay."""
    path = scenes / "ground floor" / "counter.yaml"
    names = st.sampled_from(["bin", "door", "tray"])
    answers = Counter()

    @settings(
        max_examples=200,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(shapes(names), shapes(names), st.sampled_from(["zones", "lines", "both"]))
    def run(zones, lines, kinds):
        digest = client.get(ADDRESS).json()["digest"]
        wanted = {"zones": zones, "lines": lines}
        if kinds != "both":
            wanted = {kinds: wanted[kinds]}
        body = json.dumps({"digest": digest, "cameras": {"counter": wanted}})
        sent = {"Content-Type": "application/json"}
        answer = client.put(ADDRESS, content=body.encode("utf-8"), headers=sent)
        answers[answer.status_code] += 1
        assert answer.status_code in (200, 422), answer.text
        (rule,) = read_scene(path).rules
        assert (rule.name, rule.kind) == ("touched", "presence")
        assert "# agreed on Monday" in path.read_text()

    run()
    assert answers[200] > 10 and answers[422] > 10


def test_strangers_cannot_change_scenes(make_client, scenes):
    client = make_client(scenes=scenes, token="sixteen letters!")
    assert client.get(ADDRESS).status_code == 401
    assert client.put(ADDRESS, json={}).status_code == 401
    client.headers["Authorization"] = "Bearer sixteen letters!"
    digest = client.get(ADDRESS).json()["digest"]
    body = {"digest": digest, "cameras": {}}
    other = {"Origin": "http://elsewhere.test"}
    assert client.put(ADDRESS, json=body, headers=other).status_code == 403
    assert client.put(ADDRESS, json=body).status_code == 200


def test_names_are_escaped(client, scenes):
    name = '<img src=x onerror="alert(1)">'
    content = yaml.safe_load(SCENE)
    content["cameras"] = {name: content["cameras"]["counter"]}
    content["rules"][0]["name"] = name
    (scenes / "ground floor" / "counter.yaml").write_text(yaml.safe_dump(content))
    page = client.get("/scenes/ground%20floor/counter.yaml").text
    assert "&lt;img src=x" in page and "<img src=x" not in page


def test_a_service_without_scenes(make_client, models, tmp_path):
    client = make_client()
    assert client.get("/api/scenes").json() == []
    assert client.get("/api/scenes/x").status_code == 404
    assert "without <code>--scenes FOLDER</code>" in client.get("/scenes").text
    with pytest.raises(UserError, match="--scenes"):
        ServiceSettings(models=models, data=tmp_path, scenes=tmp_path / "none")


def test_frames_of_a_jobs_video(client, clip):
    wanted = {"kind": "detect", "model": "counter/best.pt", "uploads": [send(client, clip)]}
    job_id = client.post("/api/jobs", json=wanted).json()["id"]
    address = f"/api/jobs/{job_id}/frame"
    if client.get(f"/api/jobs/{job_id}").json()["state"] != "done":
        assert client.get(address).status_code == 404
    assert wait(client, job_id)["state"] == "done"
    video = open_video(clip)
    for seconds, index in ((0, 0), (0.75, 7), (1e6, 19)):
        answer = client.get(address, params={"seconds": seconds})
        assert answer.headers["content-type"] == "image/jpeg"
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        others = [
            np.abs(image[..., ::-1].astype(int) - video.frame(n)).mean() for n in range(len(video))
        ]
        assert int(np.argmin(others)) == index
    assert client.get(address, params={"video": 1}).status_code == 404
    for wrong in ({"seconds": -1}, {"seconds": "nan"}, {"video": -1}):
        assert client.get(address, params=wrong).status_code == 422
    page = client.get("/scenes/ground%20floor/counter.yaml").text
    assert f'<option value="{address}?video=0" data-timed="yes"' in page
    assert 'data-cameras="[&#34;counter&#34;]">monday.mp4' in page


def test_a_video_that_is_gone(client, clip, tmp_path):
    wanted = {"kind": "detect", "model": "counter/best.pt", "uploads": [send(client, clip)]}
    job_id = client.post("/api/jobs", json=wanted).json()["id"]
    wait(client, job_id)
    (video,) = (tmp_path / "service" / "jobs" / job_id / "inputs").iterdir()
    video.write_bytes(b"milk, eggs")
    answer = client.get(f"/api/jobs/{job_id}/frame")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "monday.mp4: expected a video, found a file that cannot be opened",
    )


def test_frames_of_live_cameras(make_client, scenes):
    with LivePage(["monday 1"], port=0) as live:
        client = make_client(scenes=scenes, live=live.address)
        live.show("monday 1", np.full((32, 48, 3), (250, 20, 20), np.uint8), {"line": "25 fps"})
        answer = client.get("/api/live/monday%201/frame")
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (32, 48, 3)
        assert np.abs(image.reshape(-1, 3).mean(axis=0) - (20, 20, 250)).max() < 5
        assert client.get("/api/live/tuesday/frame").status_code == 404
        page = client.get("/scenes/ground%20floor/counter.yaml").text
        assert '<option value="/api/live/monday%201/frame"' in page
    assert client.get("/api/live/monday%201/frame").status_code == 503
