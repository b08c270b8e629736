"""How far a job is, from the bars of what it does."""

import pytest

from stadet.engine.progress import progress, watch_progress
from stadet.tools.service import job
from stadet.tools.service.job import Cancelled, Reporter


class Queue:
    """Takes what a job tells, until it is no longer wanted."""

    def __init__(self, most=1000):
        self.told, self.most = [], most

    def tell(self, job_id, share, message):
        self.told.append(share)
        return len(self.told) < self.most


@pytest.mark.parametrize("bars", [[9, 1, 9], [9, 9, 1, 1, 9], [1, 1, 9], [4, 4, 4, 4]])
def test_progress_never_falls(monkeypatch, bars):
    monkeypatch.setattr(job, "TELL_SECONDS", 0.0)
    queue = Queue()
    with watch_progress(reporter := Reporter(queue, "a")):
        reporter.stage("detecting", 0.1, 0.9)
        for number, total in enumerate(bars):
            list(progress(range(total), description=f"bar {number}"))
        reporter.stage("drawing", 0.9, 1.0)
    assert queue.told == sorted(queue.told)
    assert (queue.told[0], queue.told[-1]) == (0.1, 0.9)
    long = sum(total > 1 for total in bars)
    assert queue.told[-2] == pytest.approx(0.9 - 0.8 / 2**long)


def test_a_job_that_nobody_wants_ends(monkeypatch):
    monkeypatch.setattr(job, "TELL_SECONDS", 0.0)
    done = []
    with watch_progress(reporter := Reporter(Queue(most=4), "a")), pytest.raises(Cancelled):
        reporter.stage("detecting", 0.0, 1.0)
        for item in progress(range(99), description="a"):
            done.append(item)
    assert len(done) == 3
