"""`stad live` on an RTSP and a multipart JPEG camera for a long time, with cut connections.

    nice python benchmarks/live_soak.py --minutes 30 --cuts 10 --out runs/live_soak

A detector, trained for some steps on generated footage, follows two cameras of 25 frames a second
on this machine: an RTSP server (`rtsp_server.py`, which names what it needs) and one of multipart
JPEG. Both connections are cut `--cuts` times for three seconds. Prints, for every minute, resident
memory of the process and for each camera latency (median and 95th percentile, from the decoded
frame to the drawn picture), the share of frames dropped, and how often it connected again. Then a
file is played with `--realtime`: all of its frames must be received, and each be answered for or
counted as dropped. Exits with 1 where one of them is not, or a cut was not survived.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import cv2
import psutil
from experiment import ROOT, film, stad

from stadet.datasets.footage.video import open_video

FPS = 25
AWAY_SECONDS = 3.0
SYSTEM_PYTHON = "/usr/bin/python3"
FILM = ["--minutes", "1", "--scenes", "1", "--views", "1", "--fps", str(FPS), "--workers", "1"]
TRAIN = [
    *("data.size=[128, 224]", "data.workers=0", "yolo.width=0.25", "yolo.strides=[8, 16, 32]"),
    *("yolo.num_anchors=9", "loop.precision=fp32", "loop.max_steps=200", "loop.validate_every=1"),
]


class Cable:
    """Forwards TCP connections to a port of this machine, and can be pulled."""

    def __init__(self, port: int):
        self._target, self._cut = port, False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self, seconds: float) -> None:
        """Close all connections and let none through for `seconds`."""
        self._cut = True
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self._cut = False

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if self._cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()


class JpegCamera:
    """Multipart JPEG over HTTP, the same pictures over and over."""

    def __init__(self, pictures: list[bytes]):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                started, number = time.monotonic(), 0
                with contextlib.suppress(OSError):
                    while True:
                        part = pictures[number % len(pictures)]
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}"
                        self.wfile.write(head.encode() + b"\r\n\r\n" + part + b"\r\n")
                        number += 1
                        time.sleep(max(0.0, started + number / FPS - time.monotonic()))

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()


@contextlib.contextmanager
def rtsp_camera(folder: Path) -> Iterator[int]:
    """Port of an RTSP server with the JPEG files of a folder."""
    script = Path(__file__).with_name("rtsp_server.py")
    process = subprocess.Popen(
        [SYSTEM_PYTHON, script, folder, str(FPS)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if words[:1] != ["attached"]:
            raise SystemExit("the RTSP server did not start; rtsp_server.py says what it needs")
        yield int(words[1])
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def live(log: Path, *arguments: str | Path) -> Iterator[subprocess.Popen]:
    """`stad live ARGUMENTS`, its messages into `log`."""
    with open(log, "w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "stadet.tools.cli", "live", *map(str, arguments)],
            stdout=stream,
            stderr=stream,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def page_address(log: Path, process: subprocess.Popen) -> str:
    while process.poll() is None:
        if found := re.search(r"live pictures: (\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise SystemExit(f"stad live ended: {log.read_text()}")


def soak(
    addresses: dict[str, str], cables: list[Cable], checkpoint: Path, out: Path, args
) -> dict[str, int]:
    """Follow the cameras; the reconnections of each."""
    log = out / "live.log"
    given = [*addresses.values(), "--checkpoint", checkpoint, "--fps", "native"]
    given += ["--threshold", "0.25", "--serve", "0", "--events", out / "events.jsonl"]
    seconds = 60 * args.minutes
    cuts = [seconds * (n + 0.5) / args.cuts for n in range(args.cuts)]
    print(f"{'minute':>6} {'MiB':>6} " + "".join(f"{n:>34}" for n in addresses), flush=True)
    print(" " * 14 + "    p50    p95 dropped reconnected" * len(addresses), flush=True)
    with live(log, *given) as process:
        page, watched = page_address(log, process), psutil.Process(process.pid)
        with urlopen(page + "stream/" + next(iter(read(page)))):  # somebody watches
            started, told, before = time.monotonic(), 1, read(page)
            samples: list[dict] = []
            while (now := time.monotonic() - started) < seconds + 2:
                if process.poll() is not None:
                    raise SystemExit(f"stad live ended: {log.read_text()}")
                if cuts and now >= cuts[0]:
                    cuts.pop(0)
                    pulls = [
                        threading.Thread(target=cable.pull, args=[AWAY_SECONDS]) for cable in cables
                    ]
                    for pull in pulls:
                        pull.start()
                    for pull in pulls:
                        pull.join()
                samples.append(read(page))
                if now >= 60 * told:
                    resident = watched.memory_info().rss / 2**20
                    print(f"{told:>6} {resident:>6.0f} " + row(before, samples), flush=True)
                    before, samples, told = samples[-1], [], told + 1
                time.sleep(1)
            last = read(page)
    for name, status in zip(addresses, last.values(), strict=True):
        share = 100 * status["dropped"] / status["received"]
        print(f"{name}: {status['received']} frames received, {share:.2f} % dropped")
    return {name: s["reconnections"] for name, s in zip(addresses, last.values(), strict=True)}


def read(page: str) -> dict[str, dict]:
    with urlopen(page + "status.json", timeout=10) as answer:
        return json.load(answer)


def row(before: dict[str, dict], samples: list[dict[str, dict]]) -> str:
    """A minute's figures of each camera: medians of the percentiles over the last ten seconds."""
    words = []
    for name, earlier in before.items():
        latest = samples[-1][name]
        figures = [s[name] for s in samples if s[name].get("p50_ms") is not None]
        p50 = statistics.median(s["p50_ms"] for s in figures)
        p95 = statistics.median(s["p95_ms"] for s in figures)
        received = latest["received"] - earlier.get("received", 0)
        dropped = 100 * (latest["dropped"] - earlier.get("dropped", 0)) / max(received, 1)
        words.append(f"{p50:>7.1f}{p95:>7.1f}{dropped:>7.2f}%{latest['reconnections']:>12}")
    return "".join(words)


def account(video: Path, checkpoint: Path, out: Path) -> bool:
    """Whether the frames of a file played in real time are all accounted for."""
    log = out / "realtime.log"
    arguments = (video, "--realtime", "--checkpoint", checkpoint, "--fps", "native")
    with live(log, *arguments) as process:
        process.wait()
    last = log.read_text().strip().splitlines()[-1]
    received, answered, dropped = map(int, re.findall(r"(\d+) (?:frames|answered|dropped)", last))
    frames = len(open_video(video))
    print(
        f"--realtime: {frames} frames in the file, {received} received = {answered} answered for "
        f"+ {dropped} dropped"
    )
    return frames == received == answered + dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--checkpoint", type=Path, help="of a detector (default: trained here)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    footage = film(args.out, "footage", FILM, args.out / "footage.log")
    (video,) = footage.rglob("*.mp4")
    checkpoint = args.checkpoint or args.out / "run" / "best.pt"
    if not checkpoint.exists():
        data = [f"data.dataset={footage / 'dataset.yaml'}", f"output={args.out / 'run'}"]
        stad(
            "train",
            ROOT / "configs/restaurant_yolov3_small.yaml",
            *TRAIN,
            *data,
            log=args.out / "train.log",
        )
    pictures = args.out / "pictures"
    pictures.mkdir(exist_ok=True)
    encoded = []
    for number, frame in open_video(video).frames():
        encoded.append(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
        (pictures / f"{number:05d}.jpg").write_bytes(encoded[-1])
    print(f"{platform.machine()}, {os.cpu_count()} cores, nice {os.nice(0)}, {checkpoint}")
    with rtsp_camera(pictures) as port:
        cables = [Cable(port), Cable(JpegCamera(encoded).port)]
        addresses = {
            "rtsp": f"rtsp://127.0.0.1:{cables[0].port}/camera",
            "mjpeg": f"http://127.0.0.1:{cables[1].port}/",
        }
        reconnections = soak(addresses, cables, checkpoint, args.out, args)
    whole = account(video, checkpoint, args.out)
    if not whole or any(count < args.cuts for count in reconnections.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
