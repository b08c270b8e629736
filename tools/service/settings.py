"""Limits and places of a service."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stadet.engine.addresses import is_loopback
from stadet.engine.errors import UserError
from stadet.engine.files import disk_error
from stadet.engine.limits import INFINITE, expect_limits
from stadet.tools.service.admission import VideoLimits


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of `stad serve`.

    Attributes:
        models: folder of the checkpoints that may be used; files in subfolders count too.
        data: folder of the service's own files: uploads, results, the queue.
        host: address to listen at. Default the loopback address.
        port: port to listen at. Default 8000.
        token: secret that every request must carry; needed at any other address than loopback.
            Default None.
        workers: jobs at once. Default 1.
        upload_mb: largest upload in MiB. Default 2000.
        upload_idle_seconds: longest pause of an upload in seconds. Default 30.
        upload_minutes: longest that an upload may take in minutes. Default 120.
        video_minutes: longest video in minutes. Default 120.
        frame_megapixels: largest frame in megapixels. Default 9 (4K has 8.3).
        video_gigapixels: most pixels of all frames of a video in gigapixels. Default 1000 (two
            hours of Full HD at 60 frames a second have 896).
        job_minutes: longest that a job may run in minutes. Default 240.
        job_gb: memory that a job may use in GiB. Default 16.
        keep_days: age in days after which finished jobs are deleted. Default 30.
        keep_gb: size in GiB of all jobs above which the oldest finished ones are deleted.
            Default 100.
        runs: folder whose reports the page of runs shows. Default None.
        scenes: folder of scene files whose zones and lines the page of zones edits. Default None.
        live: address of a running `stad live --serve PORT`, whose pictures the page of cameras
            shows. Default None.
    """

    models: Path
    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    workers: int = 1
    upload_mb: float = 2000.0
    upload_idle_seconds: float = 30.0
    upload_minutes: float = 120.0
    video_minutes: float = 120.0
    frame_megapixels: float = 9.0
    video_gigapixels: float = 1000.0
    job_minutes: float = 240.0
    job_gb: float = 16.0
    keep_days: float = 30.0
    keep_gb: float = 100.0
    runs: Path | None = None
    scenes: Path | None = None
    live: str | None = None

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "",
            port=(0, 65535),
            workers=(1, 64),
            upload_mb=(0.001, INFINITE),
            video_minutes=(0.001, INFINITE),
            upload_idle_seconds=(0.01, INFINITE),
            upload_minutes=(0.0001, INFINITE),
            frame_megapixels=(0.001, INFINITE),
            video_gigapixels=(0.000001, INFINITE),
            job_minutes=(0.001, INFINITE),
            job_gb=(0.5, INFINITE),
            keep_days=(0, INFINITE),
            keep_gb=(0, INFINITE),
        )
        if not self.models.is_dir():
            raise UserError(f"--models {self.models}: expected a folder of checkpoints, found none")
        if self.runs is not None and not self.runs.is_dir():
            raise UserError(f"--runs {self.runs}: expected a folder of runs, found none")
        if self.scenes is not None and not self.scenes.is_dir():
            raise UserError(f"--scenes {self.scenes}: expected a folder of scene files, found none")
        if not self.token and not is_loopback(self.host):
            raise UserError(
                f"--host {self.host}: expected --token (or STAD_TOKEN) with an address that "
                "others reach; found none"
            )
        if self.token is not None and len(self.token) < 16:
            raise UserError("--token: expected at least 16 characters, found fewer")
        try:
            for place in (self.jobs, self.uploads):
                place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.data) from error
        if not os.access(self.jobs, os.W_OK):
            raise UserError(f"--data {self.data}: expected a folder that can be written")

    @property
    def video_limits(self) -> VideoLimits:
        """What a job's videos may come to."""
        return VideoLimits(self.video_minutes, self.frame_megapixels, self.video_gigapixels)

    @property
    def jobs(self) -> Path:
        """Folder of the jobs, one each."""
        return self.data / "jobs"

    @property
    def uploads(self) -> Path:
        """Folder of the uploads that no job has taken yet."""
        return self.data / "uploads"

    @property
    def queue(self) -> Path:
        """The queue's database."""
        return self.data / "queue.sqlite"
