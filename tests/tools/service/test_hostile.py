"""Uploads and requests as strangers send them: each is refused in a line, and nothing is left."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
import pytest
import torch

from stadet.datasets.footage.decode import DecodeLimits, Decoder, decode_limits
from stadet.engine.errors import UserError
from stadet.tools.service.admission import VideoLimits, check_video
from stadet.tools.service.queue import JobQueue
from stadet.tools.service.uploads import TooSlow, UploadLimits, save_upload
from tests.datasets.numbered_videos import write_numbered
from tests.tools.service.conftest import send, wait

LIMITS = VideoLimits(minutes=1, frame_megapixels=9, gigapixels=1)


def start(client, upload, **options):
    wanted = {"kind": "detect", "model": "counter/best.pt", "uploads": [upload], **options}
    return client.post("/api/jobs", json=wanted)


def outcome(client, path, name=None):
    job_id = start(client, send(client, path, name)).json()["id"]
    job = wait(client, job_id)
    page = client.get(f"/jobs/{job_id}").text
    assert "Traceback" not in page and str(path.parent) not in page
    return job


def raw_h264(path, *parts):
    """A stream of H.264 whose frames change their size: (width, height, frames) of each part."""
    with open(path, "wb") as out:
        for width, height, frames in parts:
            part = path.with_suffix(f".{width}.h264")
            with av.open(str(part), "w", format="h264") as container:
                stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for level in range(frames):
                    image = np.full((height, width, 3), 20 * level % 256, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                container.mux(stream.encode())
            out.write(part.read_bytes())
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_huge_picture_is_refused_undecoded(tmp_path, suffix):
    path = tmp_path / f"huge{suffix}"
    cv2.imwrite(str(path), np.zeros((16000, 16000), np.uint8))
    with pytest.raises(UserError, match=r"^huge.mp4: expected a video, found a picture$"):
        check_video(path, "huge.mp4", LIMITS)


def test_a_huge_picture_in_a_video_is_refused_by_its_header(client, tmp_path):
    picture = np.zeros((16000, 16000), np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    path = tmp_path / "huge.mov"
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16000, 16000, "gray"
        packet = av.Packet(data)
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        container.mux(packet)
    job = outcome(client, path)
    assert job["state"] == "failed" and "at most 9 megapixels" in job["message"]


@pytest.mark.parametrize(
    ("start_of_file", "words"),
    [
        (b"\x1f\x8b\x08", "a gzip archive; unpack it first"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "a playlist; send the video itself"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a playlist; send the video itself"),
        (b"\n#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "a file that cannot be opened"),
        (b"\x00" * 5000, "a file that cannot be opened"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 9 RTP/AVP 96\r\n", "cannot be opened"),
    ],
)
def test_other_files_are_called_by_their_kind(tmp_path, start_of_file, words):
    path = tmp_path / "x.mp4"
    path.write_bytes(start_of_file + b"x" * 100)
    with pytest.raises(UserError, match=f"^monday.mp4: expected a video, found .*{words}$"):
        check_video(path, "monday.mp4", LIMITS)


def test_a_zip_bomb_is_not_unpacked(client, tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("video.mp4", b"\0" * 50_000_000)
    job = outcome(client, path)
    assert job["message"] == "bomb.zip: expected a video, found a ZIP archive; unpack it first"


def test_a_playlist_opens_no_other_file(clip, tmp_path):
    """FFmpeg would join files that a list names, whatever the list's own name says."""
    path = tmp_path / "list.mp4"
    for text in (
        f"ffconcat version 1.0\nfile 'file:{clip}'\n",
        f" \nffconcat version 1.0\nfile '{clip}'\n",
        f"\ufeff#EXTM3U\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
    ):
        path.write_text(text)
        with pytest.raises(UserError, match="expected a video"):
            check_video(path, "list.mp4", LIMITS)


def test_frames_that_change_their_size(client, tmp_path):
    path = raw_h264(tmp_path / "grows.h264", (160, 64, 6), (320, 240, 6))
    job = outcome(client, path)
    assert job["state"] == "failed"
    assert job["message"].startswith("grows.h264: expected one size, found 160x64 up to frame 5")


def test_frames_that_grow_beyond_the_limit(make_client, tmp_path):
    client = make_client(frame_megapixels=0.05)
    path = raw_h264(tmp_path / "grows.h264", (160, 64, 6), (1920, 1080, 6))
    job = outcome(client, path)
    assert job["state"] == "failed" and "at most 0.05 megapixels" in job["message"]
    words = "at most 50,000 pixels, found 1920x1080"
    with decode_limits(DecodeLimits(50_000)), pytest.raises(UserError, match=words):
        Decoder(path)
    late = raw_h264(tmp_path / "late.h264", (160, 64, 50), (1920, 1080, 6))
    job = outcome(client, late)  # beyond what is looked at before
    assert job["state"] == "done" and "6 damaged packets were left out" in job["message"]


def test_damage_that_was_left_out_is_told(client, clip, tmp_path):
    content = bytearray(clip.read_bytes())
    start_of_frames = content.index(b"mdat") + 4
    for place in range(start_of_frames + 1500, start_of_frames + 1700):
        content[place] = 0
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    job = outcome(client, path)
    assert job["state"] == "done" and "damaged" in job["message"].removeprefix("done")


def test_pixels_are_counted_whatever_the_header_says(make_client, tmp_path):
    client = make_client(video_gigapixels=160 * 64 * 15.5 / 1e9)
    short = write_numbered(tmp_path / "short.mp4", count=15, rate=10)
    long = write_numbered(tmp_path / "long.mp4", count=17, rate=10)
    assert outcome(client, short)["state"] == "done"
    job = outcome(client, long)
    assert job["state"] == "failed" and "gigapixels in all frames" in job["message"]


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/x.mp4",
        "..\\..\\windows\\x.mp4",
        "a\x00b.mp4",
        "\u202egpm.exe",
        "\r\nSet-Cookie: x=1.mp4",
        "x" * 5000 + ".mp4",
        "видео 🎬 视频.mp4",
        "-rf.mp4",
        "%2e%2e%2fx.mp4",
        ".",
        "",
    ],
)
def test_names(client, clip, tmp_path, name):
    answer = client.post("/api/uploads", params={"name": name}, content=clip.read_bytes())
    job = start(client, answer.json()["id"]).json()
    client.post(f"/api/jobs/{job['id']}/cancel")
    (shown,) = job["videos"]
    assert len(shown) <= 120 and shown.isprintable() and "/" not in shown and "\\" not in shown
    inputs = [path for path in tmp_path.rglob("inputs/*")]
    assert len(inputs) == 1 and re.fullmatch(r"00_[\w-]+\.\w+", inputs[0].name, re.ASCII)


async def _drip(pause, chunks=10_000):
    for _ in range(chunks):
        await asyncio.sleep(pause)
        yield b"x"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (UploadLimits(10**9, idle=0.05), "a pause of at most 0.05 s"),
        (UploadLimits(10**9, idle=5.0, seconds=0.3), "an upload of at most 0.005 minutes"),
    ],
)
def test_an_upload_without_end(tmp_path, limits, words):
    pause = 10.0 if limits.idle < 1 else 0.01
    began = time.monotonic()
    with pytest.raises(TooSlow, match=words):
        asyncio.run(save_upload(tmp_path, "x.mp4", _drip(pause), limits, None))
    assert time.monotonic() - began < 3
    assert not any(tmp_path.iterdir())


def test_one_upload_for_two_requests_at_once(client, clip):
    for _ in range(5):
        upload = send(client, clip)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _, upload=upload: start(client, upload), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
        (made,) = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        assert client.post(f"/api/jobs/{made}/cancel").status_code in (200, 409)
    assert len(client.get("/api/jobs").json()["jobs"]) == 5


def test_cancelled_and_deleted_by_many_at_once(client, clip, tmp_path):
    made = start(client, send(client, clip)).json()["id"]

    def end(number):
        if number % 2:
            return client.post(f"/api/jobs/{made}/cancel").status_code
        return client.delete(f"/api/jobs/{made}").status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(end, range(16)))
    assert {*codes} <= {200, 204, 404, 409}
    client.post(f"/api/jobs/{made}/cancel")
    assert client.delete(f"/api/jobs/{made}").status_code in (204, 404)
    assert client.delete(f"/api/jobs/{made}").status_code == 404
    deadline = time.monotonic() + 20
    while any((tmp_path / "service" / "jobs").iterdir()):
        assert time.monotonic() < deadline, "files of a deleted job are left"
        time.sleep(0.1)


class Payload:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        import pathlib

        return (pathlib.Path.touch, (self.place,))


def test_a_model_file_with_code_is_not_run(models, make_client, tmp_path):
    bad, proof = models / "bad.pt", tmp_path / "proof"
    try:
        torch.save({"names": Payload(proof)}, bad)
        client = make_client()
        (found,) = [m for m in client.get("/api/models").json() if m["name"] == "bad.pt"]
        assert found["kind"] == "broken" and "\n" not in found["message"]
        assert "bad.pt cannot be used" in client.get("/").text
        answer = client.post(
            "/api/jobs", json={"kind": "detect", "model": "bad.pt", "uploads": ["0" * 32]}
        )
        assert answer.status_code == 422 and not proof.exists()
    finally:
        bad.unlink()


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind": "detect", "model": "m", "uploads": ["x"], "threshold": NaN}',
        b'{"kind": "detect", "model": "m", "uploads": ["x"], "window_seconds": Infinity}',
        b'{"kind": "detect", "model": "\\ud800", "uploads": ["\\udfff"]}',
        b'{"kind": "\\ud800"}',
        b"[" * 50_000,
        b"\xff\xfe",
        b"",
        b"null",
    ],
)
def test_odd_json(client, body):
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/jobs", content=body, headers=headers)
    assert answer.status_code in (400, 422) and isinstance(answer.json()["detail"], str)


def test_a_long_body_is_refused(client):
    for path in ("/api/jobs", "/login", "/api/jobs/x/cancel"):
        assert client.post(path, content=b"x" * (2**20 + 1)).status_code == 413


def test_a_token_of_any_letters(make_client):
    token = "größer + 50% = sicher"
    client = make_client(token=token)
    bearer = f"Bearer {token}".encode()
    assert client.get("/api/jobs", headers={"Authorization": bearer}).status_code == 200
    answer = client.post("/login", data={"token": token + "x"})
    assert answer.status_code == 401 and "not the token" in answer.text
    answer = client.get("/api/jobs", headers={"Authorization": "Bearer ÿ".encode("latin-1")})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.post("/login", data={"token": token}).status_code == 200
    assert client.get("/api/jobs").status_code == 200
    assert all("sicher" not in cookie.value for cookie in client.cookies.jar)


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8000", "", "127.0.0.1.evil.test", "a/b"])
def test_a_name_that_leads_here_is_no_proof(client, host):
    assert client.get("/api/jobs", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8000"])
def test_names_of_this_machine(client, host):
    assert client.get("/api/jobs", headers={"Host": host}).status_code == 200


def test_ranges_and_heads(client, clip):
    made = start(client, send(client, clip)).json()["id"]
    assert wait(client, made)["state"] == "done"
    place = f"/api/jobs/{made}/results/boxed.mp4"
    whole = client.get(place).content
    head = client.head(place)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(whole)
    for path in ("/", "/health", f"/jobs/{made}", "/api/jobs", f"/api/jobs/{made}"):
        assert client.head(path).status_code == 200
    for asked, found in {
        "bytes=0-0": whole[:1],
        "bytes=-7": whole[-7:],
        f"bytes={len(whole) - 3}-": whole[-3:],
        f"bytes=5-{10 * len(whole)}": whole[5:],
    }.items():
        answer = client.get(place, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, found), asked
    several = ",".join(f"{n}-{n}" for n in range(0, 4000, 2))
    for asked in (
        *("bytes=9999999999-", "bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=-0"),
        *("lines=0-3", "bytes=0-1,3-4", f"bytes={several}", "bytes=" + "9" * 400, "\x7f"),
    ):
        answer = client.get(place, headers={"Range": asked})
        assert answer.status_code in (200, 206, 400, 416), asked
        assert len(answer.content) < 3 * len(whole) + 10**6
    assert client.get(place).content == whole


# a service in a process of its own, for what only a socket shows


@pytest.fixture(scope="module")
def service(models, tmp_path_factory, start_stad):
    data = tmp_path_factory.mktemp("hostile") / "service"
    limits = ["--upload-idle-seconds", 0.5, "--upload-mb", 1]
    process = start_stad("serve", "--models", models, "--data", data, "--port", 0, *limits)
    said = []
    found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stderr)))
    read = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
    read.start()
    return urlsplit(found[0]), data, said


def talk(service, *pieces, pause=0.0, seconds=10.0):
    """What the service answers to bytes on a socket."""
    where = service[0]
    with socket.create_connection((where.hostname, where.port), timeout=seconds) as line:
        answer = b""
        try:
            for piece in pieces:
                line.sendall(piece)
                time.sleep(pause)
            while more := line.recv(65536):
                answer += more
                if b"\r\n\r\n" in answer and b'"}' in answer:
                    break
        except OSError:  # closed meanwhile: what came before counts
            pass
        return answer


HEAD = b"POST /api/uploads?name=x.mp4 HTTP/1.1\r\nHost: localhost\r\n"


def stored(data):
    return sorted(path.name for path in (data / "uploads").iterdir())


def test_a_silent_upload_is_ended(service):
    answer = talk(service, HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 100)
    assert b" 408 " in answer.split(b"\r\n")[0] and b"pause of at most 0.5 s" in answer
    assert not stored(service[1])


def test_an_endless_upload_is_ended(service):
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = talk(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40)
    assert not answer or b" 413 " in answer.split(b"\r\n")[0]
    assert not stored(service[1])


def test_a_broken_off_upload_leaves_nothing(service):
    where = service[0]
    with socket.create_connection((where.hostname, where.port)) as line:
        line.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 5000)
    deadline = time.monotonic() + 10
    while stored(service[1]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /../../../../etc/passwd HTTP/1.1",
        b"GET //etc/passwd HTTP/1.1",
        b"GET /static/..%5c..%5capp.py HTTP/1.1",
        b"GET /jobs/%00 HTTP/1.1",
        b"GET /api/jobs/%ff%fe HTTP/1.1",
        b"GET /runs/%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
        b"BREW / HTTP/1.1",
        b"POST /api/uploads?name=%00%ff HTTP/1.1\r\nContent-Length: -5",
        b"POST /api/uploads HTTP/1.1\r\nContent-Length: 99999999999999999999",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_odd_requests_are_answered_or_closed(service, request_line):
    answer = talk(service, request_line + b"\r\nHost: localhost\r\n\r\n", seconds=3.0)
    assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), answer[:200]
    assert b"Traceback" not in answer and b"root:" not in answer
    assert b" 200 " in talk(service, b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")


def test_a_second_service_in_the_same_folder_is_refused(service, models, start_stad):
    second = start_stad("serve", "--models", models, "--data", service[1], "--port", 0)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2 and said.count("\n") == 1 and "serving from there" in said


def test_nothing_that_strangers_sent_is_an_error_of_the_service(service):
    assert "Traceback" not in "".join(service[2])


def test_a_queue_that_is_no_database_is_one_line(models, tmp_path, start_stad):
    data = tmp_path / "service"
    data.mkdir()
    (data / "queue.sqlite").write_bytes(b"milk, eggs" * 1000)
    process = start_stad("serve", "--models", models, "--data", data, "--port", 0)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and said.count("\n") == 1 and "queue.sqlite" in said


def test_a_worker_goes_on_after_a_job_that_cannot_begin(client, clip, monkeypatch):
    from stadet.tools.service import workers

    def fail(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(workers.subprocess, "Popen", fail)
        job = wait(client, start(client, send(client, clip)).json()["id"])
    assert job["state"] == "failed" and "Cannot allocate memory" in job["message"]
    assert outcome(client, clip)["state"] == "done"


def test_shutdown_ends_a_running_job_in_time_and_loses_none(models, clip, tmp_path, start_stad):
    import httpx

    data = tmp_path / "service"
    long = write_numbered(tmp_path / "long.mp4", count=900, rate=30)
    process = start_stad("serve", "--models", models, "--data", data, "--port", 0, "--workers", 2)
    address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
    with httpx.Client(base_url=address, timeout=30) as client:
        made = [start(client, send(client, long)).json()["id"] for _ in range(3)]
        deadline = time.monotonic() + 60
        while client.get("/api/jobs").json()["counts"]["running"] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        follow = threading.Thread(  # somebody watches, and does not end it
            target=lambda: _ignore(lambda: client.get(f"/api/jobs/{made[0]}/events"))
        )
        follow.start()
        time.sleep(1.0)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        assert time.monotonic() - began < 15
        follow.join(timeout=10)
    states = {job.id: job.state.value for job in JobQueue(data / "queue.sqlite").jobs()}
    assert set(states) == set(made) and set(states.values()) <= {"running", "queued", "done"}


def _ignore(call):
    try:
        call()
    except Exception:
        return


def test_upload_names_are_kept_as_json(client, clip, tmp_path):
    upload = send(client, clip, "видео.mp4")
    place = tmp_path / "service" / "uploads" / upload / "name.json"
    assert json.loads(place.read_text(encoding="utf-8")) == "видео.mp4"
    with pytest.raises(UserError, match="unused upload"):
        from stadet.tools.service.uploads import taken_uploads

        with taken_uploads(place.parent.parent, [upload, "1" * 32], tmp_path / "in"):
            pass
    assert place.is_file()  # what had been taken is back
