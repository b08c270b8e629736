"""The queue from threads, processes and restarts."""

import threading

from stadet.tools.service.queue import JobKind, JobQueue, JobState, new_id


def add(queue, **inputs):
    job_id = new_id()
    queue.add(job_id, JobKind.DETECT, "m.pt", {"threshold": 0.5}, inputs or {"a.mp4": "A.mp4"})
    return job_id


def test_a_job_from_begin_to_end(tmp_path):
    queue = JobQueue(tmp_path / "q")
    job_id = add(queue)
    assert queue.get(job_id).state is JobState.QUEUED
    assert queue.claim(7).id == job_id and queue.claim(7) is None
    assert queue.tell(job_id, 0.5, "detecting")
    assert queue.get(job_id).progress == 0.5
    assert queue.finish(job_id, JobState.DONE, "done")
    assert not queue.finish(job_id, JobState.FAILED, "late")
    job = queue.get(job_id)
    assert (job.state, job.progress, job.process) == (JobState.DONE, 1.0, None)
    assert job.options == {"threshold": 0.5} and job.inputs == {"a.mp4": "A.mp4"}
    assert queue.delete(job_id) and queue.get(job_id) is None


def test_oldest_first_and_each_once_from_many_threads(tmp_path):
    queue = JobQueue(tmp_path / "q")
    ids = [add(queue) for _ in range(40)]
    claimed, lock = [], threading.Lock()

    def work(number):
        while (job := JobQueue(tmp_path / "q").claim(number)) is not None:
            with lock:
                claimed.append(job.id)

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)
    assert queue.counts()["running"] == 40


def test_a_cancelled_job_says_so_to_its_process(tmp_path):
    queue = JobQueue(tmp_path / "q")
    job_id = add(queue)
    queue.claim(1)
    assert queue.cancel(job_id).state is JobState.RUNNING
    assert not queue.tell(job_id, 0.9, "detecting")
    assert not queue.finish(job_id, JobState.DONE, "done")
    assert queue.get(job_id).state is JobState.CANCELLED
    assert queue.cancel(job_id) is None


def test_after_a_crash_a_job_is_tried_once_more(tmp_path):
    queue = JobQueue(tmp_path / "q")
    job_id = add(queue)
    queue.claim(1)
    assert [job.id for job in JobQueue(tmp_path / "q").recover()] == [job_id]
    assert queue.get(job_id).state is JobState.QUEUED
    queue.claim(1)
    queue.recover()
    job = queue.get(job_id)
    assert job.state is JobState.FAILED and "stopped" in job.message and job.finished


def test_a_running_job_cannot_be_deleted(tmp_path):
    queue = JobQueue(tmp_path / "q")
    job_id = add(queue)
    assert not queue.delete(job_id)
    queue.claim(1)
    assert not queue.delete(job_id) and queue.get(job_id) is not None
