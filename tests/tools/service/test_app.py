"""The interface from upload to results, and what it refuses."""

import csv
import io
import json
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.detect.detections.reader import read_detections
from stadet.engine.errors import UserError
from stadet.tools.inference.video_detector import open_detector
from stadet.tools.service.settings import ServiceSettings
from stadet.tools.service.uploads import shown_name, stored_name
from stadet.tools.streams.page import LivePage
from tests.tools.service.conftest import send, wait


def start(client, upload, **options):
    wanted = {"kind": "detect", "model": "counter/best.pt", "uploads": [upload], **options}
    answer = client.post("/api/jobs", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_models(client):
    found = {model["name"]: model for model in client.get("/api/models").json()}
    assert found["counter/best.pt"]["kind"] == "detector"
    assert found["counter/best.pt"]["classes"] == ["pick up", "put back"]
    assert found["broken.pt"]["kind"] == "broken"


def test_detect_from_upload_to_results(client, clip, models, tmp_path):
    job_id = start(client, send(client, clip), threshold=0.001)
    job = wait(client, job_id)
    assert job["state"] == "done", job
    assert {"detections.jsonl", "tubes.json", "events.json", "boxed.mp4", "events.csv"} <= {
        *job["results"]
    }
    (tmp_path / "boxed.mp4").write_bytes(
        client.get(f"/api/jobs/{job_id}/results/boxed.mp4").content
    )
    assert len(open_video(tmp_path / "boxed.mp4")) == 20
    found = client.get(f"/api/jobs/{job_id}/results/detections.jsonl")
    (tmp_path / "found.jsonl").write_bytes(found.content)
    videos = read_detections(tmp_path / "found.jsonl", ("pick up", "put back"))
    boxes = sum(len(video.frames) for video in videos)
    detector = open_detector(models / "counter" / "best.pt", score_floor=0.0)
    expected = sum(len(found.above(0.0005)) for found in detector(clip))
    assert boxes == expected
    table = client.get(f"/api/jobs/{job_id}/results/events.csv")
    rows = list(csv.reader(io.StringIO(table.text)))
    events = client.get(f"/api/jobs/{job_id}/results/events.json").json()
    assert len(rows) == 1 + len(events)
    page = client.get(f"/jobs/{job_id}").text
    assert "monday.mp4" in page and "boxed.mp4" in page


def test_a_part_of_a_video(client, clip):
    job_id = start(client, send(client, clip))
    wait(client, job_id)
    whole = client.get(f"/api/jobs/{job_id}/results/boxed.mp4").content
    part = client.get(f"/api/jobs/{job_id}/results/boxed.mp4", headers={"Range": "bytes=10-29"})
    assert part.status_code == 206 and part.content == whole[10:30]


def test_progress_as_events(client, clip):
    job_id = start(client, send(client, clip))
    with client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        rows = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert rows[-1]["state"] == "done" and rows[-1]["progress"] == 1
    progress = [row["progress"] for row in rows]
    assert progress == sorted(progress)


def test_no_video(client, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("milk, eggs")
    job = wait(client, start(client, send(client, path)))
    assert job["state"] == "failed"
    assert job["message"] == "notes.mp4: expected a video, found a file that cannot be opened"


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"video_minutes": 0.01}, "at most 0.01 minutes"), ({"frame_megapixels": 0.005}, "160x64")],
)
def test_larger_than_allowed(make_client, clip, limits, words):
    client = make_client(**limits)
    job = wait(client, start(client, send(client, clip)))
    assert job["state"] == "failed" and words in job["message"]


def test_too_large_an_upload_leaves_nothing(make_client, tmp_path):
    client = make_client(upload_mb=0.01)
    big = b"x" * 20_000
    assert client.post("/api/uploads", content=big).status_code == 413

    def chunks():  # without a length that could be looked at first
        for _ in range(40):
            yield b"x" * 500

    assert client.post("/api/uploads", content=chunks()).status_code == 413
    assert client.post("/api/uploads", content=b"").status_code == 422
    assert list((tmp_path / "service" / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"model": "../../etc/passwd"},
        {"model": "broken.pt"},
        {"uploads": ["0" * 32]},
        {"uploads": ["../" + "0" * 29]},
        {"uploads": []},
        {"kind": "steps"},
        {"kind": "erase"},
        {"threshold": 2},
        {"threshold": "nan"},
    ],
)
def test_bad_requests_are_told(client, clip, wanted):
    request = {"kind": "detect", "model": "counter/best.pt", "uploads": [send(client, clip)]}
    answer = client.post("/api/jobs", json={**request, **wanted})
    assert answer.status_code == 422 and "Traceback" not in answer.text
    assert client.get("/api/jobs").json()["jobs"] == []


def test_an_upload_is_used_once(client, clip):
    upload = send(client, clip)
    start(client, upload)
    answer = client.post(
        "/api/jobs", json={"kind": "detect", "model": "counter/best.pt", "uploads": [upload]}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/" + "0" * 32,
        "/api/jobs/..%2f..%2fetc",
        "/jobs/x",
        "/static/..%2fapp.py",
        "/static/app.py",
        "/runs/../../etc/passwd",
    ],
)
def test_other_paths_are_not_found(client, path):
    assert client.get(path).status_code == 404


def test_only_results_are_handed_out(client, clip):
    job_id = start(client, send(client, clip))
    wait(client, job_id)
    for name in ("log.txt", "..%2flog.txt", "..%2f..%2f..%2fqueue.sqlite", "events"):
        assert client.get(f"/api/jobs/{job_id}/results/{name}").status_code == 404


def test_half_of_a_result_is_not_handed_out(client, clip, tmp_path):
    job_id = start(client, send(client, clip))
    client.post(f"/api/jobs/{job_id}/cancel")
    results = tmp_path / "service" / "jobs" / job_id / "results"
    results.mkdir(exist_ok=True)
    (results / "events.json").write_text("[]")
    for name in ("events.json", "events.csv"):
        answer = client.get(f"/api/jobs/{job_id}/results/{name}")
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "no results: the job is cancelled",
        )


def test_names_are_escaped_and_stay_in_their_folder(client, clip):
    name = '../<img src=x onerror="alert(1)">.mp4'
    job_id = start(client, send(client, clip, name))
    job = wait(client, job_id)
    assert job["state"] == "done" and job["videos"] == ['<img src=x onerror="alert(1)">.mp4']
    for path in ("/", f"/jobs/{job_id}"):
        assert "<img src=x" not in client.get(path).text


def test_stored_names():
    assert stored_name("C:\\a\\..\\été 1.MP4", 3) == "03_t_1.mp4"
    assert stored_name("../../etc/passwd", 0) == "00_passwd.mp4"
    assert stored_name("\x00", 1) == "01_video.mp4"
    assert shown_name("a/b\u202e\n.mp4") == "b.mp4"


def test_an_upload_outlives_a_queue_that_cannot_be_written(client, clip, monkeypatch):
    upload = send(client, clip)

    def fail(*_):
        raise UserError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(client.app.state.queue, "add", fail)
        request = {"kind": "detect", "model": "counter/best.pt", "uploads": [upload]}
        assert client.post("/api/jobs", json=request).status_code == 422
    assert wait(client, start(client, upload))["state"] == "done"


def test_cancel_and_delete(client, clip, tmp_path, monkeypatch):
    job_id = start(client, send(client, clip))
    answer = client.post(f"/api/jobs/{job_id}/cancel")
    assert answer.status_code == 200 and answer.json()["state"] == "cancelled"
    assert client.post(f"/api/jobs/{job_id}/cancel").status_code == 409
    assert client.delete(f"/api/jobs/{job_id}").status_code == 204
    assert client.get(f"/api/jobs/{job_id}").status_code == 404


def test_a_killed_job_is_tried_again(client, clip):
    job_id = start(client, send(client, clip))
    deadline = time.monotonic() + 60
    from stadet.tools.service.queue import JobQueue

    while time.monotonic() < deadline:
        found = client.get(f"/api/jobs/{job_id}").json()
        if found["state"] == "running" and found["message"] != "starting":
            break
        time.sleep(0.02)
    queue = JobQueue(client.app.state.settings.queue)
    os.kill(queue.get(job_id).process, signal.SIGKILL)
    job = wait(client, job_id)
    assert job["state"] == "done" and queue.get(job_id).attempts == 2


def test_jobs_survive_a_restart(make_client, clip):
    first = make_client()
    ids = [start(first, send(first, clip, f"{n}.mp4")) for n in range(3)]
    first.__exit__(None, None, None)
    second = make_client()
    assert [wait(second, job_id)["state"] for job_id in ids] == ["done"] * 3


def test_a_token(make_client):
    client = make_client(token="sixteen letters!")
    assert client.get("/health").status_code == 200
    assert client.get("/api/models").status_code == 401
    bearer = {"Authorization": "Bearer sixteen letters!"}
    assert client.get("/api/models", headers=bearer).status_code == 200
    wrong = {"Authorization": "Bearer sixteen letterx!"}
    assert client.get("/api/models", headers=wrong).status_code == 401
    assert client.get("/", follow_redirects=False).status_code == 303
    assert "not the token" in client.post("/login", content="token=x").text
    client.post("/login", content="token=sixteen letters!")
    assert client.get("/").status_code == 200


def test_another_sites_page_cannot_send(client):
    answer = client.post("/api/uploads", content=b"x", headers={"Origin": "http://elsewhere.test"})
    assert answer.status_code == 403


def test_an_open_address_needs_a_token(models, tmp_path):
    with pytest.raises(UserError, match="--token"):
        ServiceSettings(models=models, data=tmp_path, host="0.0.0.0")
    with pytest.raises(UserError, match="at least 16"):
        ServiceSettings(models=models, data=tmp_path, token="short")
    with pytest.raises(UserError, match="--models"):
        ServiceSettings(models=tmp_path / "none", data=tmp_path)


def test_live_cameras_away_and_back(make_client):
    with LivePage(["door"], port=0) as live:
        port = int(live.address.rstrip("/").rsplit(":")[-1])
    client = make_client(live=f"http://127.0.0.1:{port}/")

    def away():
        answer = client.get("/api/live")
        assert (answer.status_code, answer.json()["detail"]) == (503, "no live cameras answer")
        assert client.get("/api/live/door").status_code == 503
        page = client.get("/live")
        return page.status_code == 200 and "does not answer" in page.text

    assert away()
    with LivePage(["door"], port=port) as live:
        live.show("door", np.zeros((32, 32, 3), np.uint8), {"line": "25 fps"})
        assert client.get("/api/live").json()["door"]["line"] == "25 fps"
        assert client.get("/api/live/window").status_code == 404
        shown = client.get("/live").text
        assert "25 fps" in shown and "Counted" not in shown
        assert client.get("/live/counts").status_code == 404
    assert away()
    counts = SimpleNamespace(lines=["2 meals with <9> items"], page="<p>plots</p>")
    with LivePage(["door"], port=port, counts=counts) as live:
        assert "2 meals with &lt;9&gt; items" in client.get("/live").text
        answer = client.get("/live/counts")
        assert answer.text == "<p>plots</p>" and answer.headers["Content-Security-Policy"]


def test_something_else_at_the_cameras_address(make_client):
    """A server that sends no status of cameras is as good as none."""
    said = b"HTTP/1.0 200 OK\r\n\r\n[1, 2"
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = make_client(live=f"http://127.0.0.1:{server.getsockname()[1]}/")

        def answer():
            line, _ = server.accept()
            line.recv(1000)
            line.sendall(said)
            line.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert client.get("/api/live").status_code == 503
        thread.join()
