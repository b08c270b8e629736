"""Runs queued jobs, each in a process of its own with limits on time and memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import astuple
from pathlib import Path

from stadet.tools.service.queue import JobQueue, JobState
from stadet.tools.service.settings import ServiceSettings

POLL_SECONDS = 0.3
GRACE_SECONDS = 10.0  # between asking a job to stop and killing it
CLEAN_SECONDS = 600.0
STRAY_SECONDS = 86400.0  # age of uploads that no job has taken, and of folders without a job


class Workers:
    """Threads that claim jobs and watch over the processes that run them.

    A job ends as done or failed with a reason whatever its process does: a crash, a kill and
    memory or time used up fail it (a kill from outside is tried once more).
    """

    def __init__(self, settings: ServiceSettings, queue: JobQueue):
        self._settings, self._queue = settings, queue
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._running: dict[str, subprocess.Popen] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Take up what was interrupted, and begin."""
        for job in self._queue.recover():
            shutil.rmtree(self._settings.jobs / job.id / "results", ignore_errors=True)
        for number in range(self._settings.workers):
            thread = threading.Thread(target=self._work, name=f"worker {number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        cleaner = threading.Thread(target=self._clean, name="cleaner", daemon=True)
        cleaner.start()
        self._threads.append(cleaner)

    def stop(self) -> None:
        """End the threads; running jobs are stopped and taken up at the next start."""
        self._stopping.set()
        with self._lock:
            running = list(self._running.values())
        for process in running:  # all at once, so that together they take as long as one
            _signal(process, signal.SIGTERM)
        for process in running:
            _end(process)
        for thread in self._threads:
            thread.join()

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; False where it has ended or is not there."""
        if self._queue.cancel(job_id) is None:
            return False
        with self._lock:
            process = self._running.get(job_id)
        if process is not None:
            _end(process)
        return True

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._queue.claim(os.getpid())
            except sqlite3.Error as error:  # a full disk, say: it may pass
                _say(f"the queue cannot be read ({error})")
                self._stopping.wait(10 * POLL_SECONDS)
                continue
            if job is None:
                self._stopping.wait(POLL_SECONDS)
                continue
            try:
                self._run(job.id)
            except Exception as error:  # this thread goes on with the next job
                _say(f"job {job.id}: {type(error).__name__}: {error}")
                reason = getattr(error, "strerror", None) or type(error).__name__
                with contextlib.suppress(sqlite3.Error):
                    words = f"its process could not be watched ({reason})"
                    self._queue.finish(job.id, JobState.FAILED, words)

    def _run(self, job_id: str) -> None:
        settings = self._settings
        folder = settings.jobs / job_id
        with open(folder / "log.txt", "ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "stadet.tools.service.job",
                    str(settings.data),
                    str(settings.models),
                    job_id,
                    str(settings.job_gb),
                    *map(str, astuple(settings.video_limits)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with self._lock:
            self._running[job_id] = process
        try:
            self._queue.set_process(job_id, process.pid)
            deadline = time.monotonic() + 60 * settings.job_minutes
            while process.poll() is None:
                if time.monotonic() > deadline:
                    _end(process)
                    limit = f"{settings.job_minutes:g} minutes"
                    self._queue.finish(job_id, JobState.FAILED, f"it ran longer than {limit}")
                    return
                time.sleep(0.05)
            self._judge(job_id, process.returncode)
        finally:
            if process.poll() is None:  # an error above
                _end(process)
            with self._lock:
                self._running.pop(job_id, None)

    def _judge(self, job_id: str, code: int) -> None:
        """End a job whose process ended without saying how it went."""
        if self._stopping.is_set():
            return  # taken up at the next start
        if code == 0:
            self._queue.finish(job_id, JobState.FAILED, "its process ended without a result")
        elif code == -signal.SIGKILL:
            self._queue.retry(job_id, "its process was killed, most likely for want of memory")
        elif code < 0:
            name = signal.Signals(-code).name
            self._queue.finish(job_id, JobState.FAILED, f"its process ended by {name}")
        else:
            reason = _last_line(self._settings.jobs / job_id / "log.txt")
            self._queue.finish(job_id, JobState.FAILED, reason or f"its process ended with {code}")

    def _clean(self) -> None:
        while True:
            with contextlib.suppress(OSError, sqlite3.Error):
                self.clean()
            if self._stopping.wait(CLEAN_SECONDS):
                return

    def clean(self) -> None:
        """Delete jobs past their age, the oldest while all take too much, and stray uploads."""
        settings, now = self._settings, time.time()
        for job_id in self._queue.old(now - 86400 * settings.keep_days):
            self.delete(job_id)
        sizes = {place.name: _size(place) for place in settings.jobs.iterdir() if place.is_dir()}
        total, limit = sum(sizes.values()), settings.keep_gb * 2**30
        for job_id in self._queue.old(now):
            if total <= limit:
                break
            total -= sizes.get(job_id, 0)
            self.delete(job_id)
        strays = [place for place in settings.jobs.iterdir() if self._queue.get(place.name) is None]
        for place in [*strays, *settings.uploads.iterdir()]:
            with contextlib.suppress(FileNotFoundError):  # taken or deleted meanwhile
                if now - place.stat().st_mtime > STRAY_SECONDS:
                    _remove(place)

    def delete(self, job_id: str) -> bool:
        """Delete a job that has ended and its files; False where there is none."""
        if not self._queue.delete(job_id):
            return False
        with self._lock:
            process = self._running.get(job_id)
        if process is not None:  # cancelled a moment ago and still writing
            _end(process)
        shutil.rmtree(self._settings.jobs / job_id, ignore_errors=True)
        return True


def _end(process: subprocess.Popen) -> None:
    """Ask a job's process group to stop, then kill it."""
    for sign, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        _signal(process, sign)
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


def _signal(process: subprocess.Popen, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)


def _say(line: str) -> None:
    print(f"stad serve: {line}", file=sys.stderr, flush=True)


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            size += file.stat().st_size
    return size


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _last_line(log: Path) -> str:
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, log.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
