"""Which jobs and uploads are deleted, by age and by size."""

import os
import time

import pytest

pytest.importorskip("fastapi")

from stadet.tools.service.queue import JobKind, JobQueue, JobState, new_id
from stadet.tools.service.settings import ServiceSettings
from stadet.tools.service.workers import STRAY_SECONDS, Workers

KB = 2**10


@pytest.fixture
def service(tmp_path, models):
    def make(**limits):
        settings = ServiceSettings(models=models, data=tmp_path / "service", **limits)
        for folder in (settings.jobs, settings.uploads):
            folder.mkdir(parents=True, exist_ok=True)
        queue = JobQueue(tmp_path / "queue")
        return settings, queue, Workers(settings, queue)

    return make


def finished(settings, queue, size):
    job_id = running(settings, queue, size)
    queue.finish(job_id, JobState.DONE, "done")
    time.sleep(0.01)  # so that the order of their ends is sure
    return job_id


def running(settings, queue, size):
    job_id = new_id()
    queue.add(job_id, JobKind.DETECT, "m.pt", {}, {"a.mp4": "A.mp4"})
    queue.claim(1)
    (settings.jobs / job_id).mkdir()
    (settings.jobs / job_id / "boxed.mp4").write_bytes(bytes(size))
    return job_id


def kept(settings, queue):
    folders = {place.name for place in settings.jobs.iterdir()}
    return folders & {job.id for job in queue.jobs()}


def test_the_oldest_go_until_the_rest_fits(service):
    settings, queue, workers = service(keep_gb=250 * KB / 2**30)
    busy = running(settings, queue, 90 * KB)
    ids = [finished(settings, queue, 90 * KB) for _ in range(4)]
    workers.clean()
    # 250 KB hold two of the five, and a running job is never one that goes
    assert kept(settings, queue) == {busy, ids[3]}
    assert not (settings.jobs / ids[0]).exists()


def test_all_stay_within_the_limits(service):
    settings, queue, workers = service(keep_gb=1.0, keep_days=1.0)
    ids = {finished(settings, queue, KB) for _ in range(3)}
    workers.clean()
    assert kept(settings, queue) == ids


def test_ended_jobs_go_by_age_and_running_ones_stay(service):
    settings, queue, workers = service(keep_days=0.3 / 86400)
    old, busy = finished(settings, queue, KB), running(settings, queue, KB)
    time.sleep(0.4)
    young = finished(settings, queue, KB)
    workers.clean()
    assert kept(settings, queue) == {young, busy} and queue.get(old) is None


def test_what_belongs_to_no_job_goes_after_a_day(service):
    settings, _, workers = service()
    long_ago = time.time() - STRAY_SECONDS - 60
    upload, fresh, folder = settings.uploads / "a", settings.uploads / "b", settings.jobs / "c"
    upload.write_bytes(b"video")
    fresh.write_bytes(b"video")
    folder.mkdir()
    os.utime(upload, (long_ago, long_ago))
    os.utime(folder, (long_ago, long_ago))
    workers.clean()
    assert not upload.exists() and not folder.exists() and fresh.exists()
