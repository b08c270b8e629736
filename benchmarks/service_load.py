"""Many uploads at once to `stad serve`, with kills: no job may be lost, and health answers in time.

    python benchmarks/service_load.py --models MODELS --video CLIP --uploads 50 --clients 8
    python benchmarks/service_load.py --models MODELS --video CLIP --uploads 50 --clients 8 --kill

`--kill` ends a job's process by SIGKILL, and later the service itself, which is then started again.
Prints how the jobs ended and the 95th percentile of the answers to GET /health meanwhile. Exits
with 1 where a job was lost or failed without a reason, or health took longer than 100 ms at the
95th percentile (`--most-ms`).
"""

from __future__ import annotations

import argparse
import collections
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from stadet.tools.service.queue import JobQueue

FINAL = ("done", "failed", "cancelled")


def serve(models: Path, data: Path, port: int) -> tuple[subprocess.Popen, str]:
    """A service with two workers, and its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "stadet.tools.cli", "serve", "--models", str(models)),
            *("--data", str(data), "--workers", "2", "--port", str(port)),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://\S+", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, found[0]
    raise SystemExit("the service did not start")


def send(client: httpx.Client, video: bytes, number: int) -> str:
    """Upload the video and queue a job; the job's id."""
    name = f"clip{number}.mp4"
    upload = client.post("/api/uploads", params={"name": name}, content=video).json()["id"]
    model = next(m["name"] for m in client.get("/api/models").json() if m["kind"] == "detector")
    wanted = {"kind": "detect", "model": model, "uploads": [upload]}
    answer = client.post("/api/jobs", json=wanted)
    answer.raise_for_status()
    return answer.json()["id"]


class Health:
    """Asks for /health twenty times a second and keeps how long the answers took."""

    def __init__(self, address: str):
        self.seconds: list[float] = []
        self.address, self.paused = address, threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        with httpx.Client(timeout=30) as client:
            while True:
                time.sleep(0.05)
                if self.paused.is_set():
                    continue
                began = time.perf_counter()
                try:
                    client.get(self.address + "health").raise_for_status()
                except httpx.HTTPError:
                    if not self.paused.is_set():
                        self.seconds.append(float("inf"))
                    continue
                self.seconds.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--most-ms", type=float, default=100.0)
    args = parser.parse_args()
    video = args.video.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "service"
        process, address = serve(args.models, data, 0)
        try:
            health = Health(address)
            began = time.monotonic()
            with httpx.Client(base_url=address, timeout=120) as client:
                with ThreadPoolExecutor(args.clients) as clients:
                    ids = list(clients.map(lambda n: send(client, video, n), range(args.uploads)))
                sent = time.monotonic() - began
                if args.kill:
                    _kill_a_worker(data)
                    health.paused.set()
                    process.kill()
                    process.wait()
                    process, address = serve(
                        args.models, data, int(address.rstrip("/").rsplit(":")[-1])
                    )
                    health.paused.clear()
                jobs = _wait(client, ids)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    states = collections.Counter(job["state"] for job in jobs)
    p95 = 1000 * float(np.percentile(health.seconds, 95))
    print(
        f"{args.uploads} uploads of {len(video):,} bytes by {args.clients} clients in {sent:.1f} "
        f"s; ended in {time.monotonic() - began:.0f} s: "
        + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    )
    print(f"/health: {len(health.seconds)} answers, 95th percentile {p95:.1f} ms")
    silent = [job for job in jobs if job["state"] == "failed" and not job["message"]]
    if silent or sum(states.values()) != args.uploads or not p95 <= args.most_ms:
        raise SystemExit(1)


def _kill_a_worker(data: Path) -> None:
    """SIGKILL to the process of a job at work."""
    queue = JobQueue(data / "queue.sqlite")
    while True:
        running = [job for job in queue.jobs() if job.state == "running" and job.progress > 0]
        if running and running[0].process:
            subprocess.run(["kill", "-9", str(running[0].process)], check=False)
            return
        time.sleep(0.05)


def _wait(client: httpx.Client, ids: list[str]) -> list[dict]:
    """The jobs once all have ended."""
    ended: dict[str, dict] = {}
    while len(ended) < len(ids):
        time.sleep(0.5)
        for job_id in ids:
            if job_id not in ended:
                job = client.get(f"/api/jobs/{job_id}").raise_for_status().json()
                if job["state"] in FINAL:
                    ended[job_id] = job
    return list(ended.values())


if __name__ == "__main__":
    main()
