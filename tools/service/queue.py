"""The queue of jobs: a SQLite file, so that a restart loses none."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError

MOST_ATTEMPTS = 2  # a job whose process died is tried once more

_SCHEMA = """
create table if not exists jobs (
    id text primary key,
    kind text not null,
    model text not null,
    options text not null,
    inputs text not null,
    state text not null,
    progress real not null default 0,
    message text not null default '',
    attempts integer not null default 0,
    process integer,
    created real not null,
    started real,
    finished real
);
create index if not exists jobs_by_state on jobs (state, created);
"""


class JobState(str, Enum):
    """States of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more happens."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobKind(str, Enum):
    """Kinds of job by their results.

    `detect`: boxes, tubes, events and a boxed video; `classify`: a class for each video, or a
    timeline of a long one; `steps`: the steps of a routine, done or missing.
    """

    DETECT = "detect"
    CLASSIFY = "classify"
    STEPS = "steps"


@dataclass(frozen=True)
class Job:
    """A row of the queue.

    Attributes:
        id: 32 hexadecimal digits.
        kind: what it makes.
        model: name of the model, relative to the folder of models.
        options: plain values, as the request gave them.
        inputs: names of its videos in its folder ``inputs``, with the names they were uploaded as.
        state: present state.
        progress: share that is done, 0 to 1.
        message: what it does, or why it failed, in a line.
        attempts: times it was begun.
        process: process that runs it.
        created, started, finished: seconds since the epoch; None where it has not come to that.
    """

    id: str
    kind: JobKind
    model: str
    options: dict[str, Any]
    inputs: dict[str, str]
    state: JobState
    progress: float
    message: str
    attempts: int
    process: int | None
    created: float
    started: float | None
    finished: float | None

    def public(self) -> dict[str, Any]:
        """Plain values for the interface; no path and no process."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "model": self.model,
            "options": self.options,
            "videos": list(self.inputs.values()),
            "state": self.state.value,
            "progress": round(self.progress, 4),
            "message": self.message,
            "created": self.created,
            "started": self.started,
            "finished": self.finished,
        }


def new_id() -> str:
    """An id that nobody guesses."""
    return uuid.uuid4().hex


class JobQueue:
    """Jobs in a SQLite file; every call is one transaction, safe from threads and processes."""

    def __init__(self, path: Path):
        self._path = path
        try:
            with self._connect() as connection:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
        except sqlite3.Error as error:
            raise UserError(
                f"{path}: expected the queue of a service, found a file that SQLite cannot use "
                f"({error}); free the disk, or move the file away (its jobs are forgotten)"
            ) from error

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("rollback")
            raise
        finally:
            connection.close()

    def add(
        self,
        job_id: str,
        kind: JobKind,
        model: str,
        options: dict[str, Any],
        inputs: dict[str, str],
    ) -> None:
        """Queue a job whose folder is complete."""
        row = (job_id, kind.value, model, json.dumps(options), json.dumps(inputs), time.time())
        with self._connect() as connection:
            connection.execute(
                "insert into jobs (id, kind, model, options, inputs, state, created) "
                "values (?, ?, ?, ?, ?, 'queued', ?)",
                row,
            )

    def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        with self._connect() as connection:
            row = connection.execute("select * from jobs where id = ?", [job_id]).fetchone()
        return None if row is None else _job(row)

    def jobs(self, limit: int = 200) -> list[Job]:
        """The newest jobs, newest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "select * from jobs order by created desc, id limit ?", [limit]
            ).fetchall()
        return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Number of jobs in each state."""
        with self._connect() as connection:
            rows = connection.execute("select state, count(*) from jobs group by state").fetchall()
        return {state.value: 0 for state in JobState} | {row[0]: row[1] for row in rows}

    def claim(self, process: int) -> Job | None:
        """The oldest queued job, from now on running; None where none waits."""
        with self._connect() as connection:
            row = connection.execute(
                "select id from jobs where state = 'queued' order by created, id limit 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "update jobs set state = 'running', process = ?, started = ?, progress = 0, "
                "message = 'starting', attempts = attempts + 1 where id = ?",
                [process, time.time(), row["id"]],
            )
            claimed = connection.execute("select * from jobs where id = ?", [row["id"]]).fetchone()
        return _job(claimed)

    def set_process(self, job_id: str, process: int) -> None:
        """Say which process runs a job."""
        with self._connect() as connection:
            connection.execute(
                "update jobs set process = ? where id = ? and state = 'running'", [process, job_id]
            )

    def tell(self, job_id: str, progress: float, message: str) -> bool:
        """Say how far a running job is; False where it runs no more (cancelled, deleted)."""
        with self._connect() as connection:
            done = connection.execute(
                "update jobs set progress = ?, message = ? where id = ? and state = 'running'",
                [min(max(progress, 0.0), 1.0), message[:500], job_id],
            )
            return done.rowcount == 1

    def finish(self, job_id: str, state: JobState, message: str) -> bool:
        """End a running job; False where it had ended already."""
        progress = 1.0 if state is JobState.DONE else None
        with self._connect() as connection:
            done = connection.execute(
                "update jobs set state = ?, message = ?, finished = ?, process = null, "
                "progress = coalesce(?, progress) where id = ? and state = 'running'",
                [state.value, message[:500], time.time(), progress, job_id],
            )
            return done.rowcount == 1

    def cancel(self, job_id: str) -> Job | None:
        """Cancel a job that has not ended; returns it as it was before, None where it had ended."""
        with self._connect() as connection:
            row = connection.execute(
                "select * from jobs where id = ? and state in ('queued', 'running')", [job_id]
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "update jobs set state = 'cancelled', message = 'cancelled', finished = ?, "
                "process = null where id = ?",
                [time.time(), job_id],
            )
        return _job(row)

    def delete(self, job_id: str) -> bool:
        """Forget a job that has ended; False where there is none or it goes on."""
        with self._connect() as connection:
            done = connection.execute(
                "delete from jobs where id = ? and state in ('done', 'failed', 'cancelled')",
                [job_id],
            )
            return done.rowcount == 1

    def retry(self, job_id: str, reason: str) -> None:
        """A running job's process died: queue it again, or fail it after `MOST_ATTEMPTS`."""
        with self._connect() as connection:
            connection.execute(
                "update jobs set state = case when attempts < ? then 'queued' else 'failed' end, "
                "message = ?, process = null, finished = case when attempts < ? then null else ? "
                "end where id = ? and state = 'running'",
                [MOST_ATTEMPTS, reason[:500], MOST_ATTEMPTS, time.time(), job_id],
            )

    def recover(self) -> list[Job]:
        """After a start: jobs that were running when the service ended are queued again or failed.

        Returns them as they were. Their processes end with the service, so none is left.
        """
        with self._connect() as connection:
            rows = connection.execute("select * from jobs where state = 'running'").fetchall()
        for row in rows:
            self.retry(row["id"], "the service stopped while it ran")
        return [_job(row) for row in rows]

    def old(self, before: float) -> list[str]:
        """Ids of the jobs that ended before a time."""
        with self._connect() as connection:
            rows = connection.execute(
                "select id from jobs where finished is not null and finished < ? order by finished",
                [before],
            ).fetchall()
        return [row["id"] for row in rows]


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        kind=JobKind(row["kind"]),
        model=row["model"],
        options=json.loads(row["options"]),
        inputs=json.loads(row["inputs"]),
        state=JobState(row["state"]),
        progress=row["progress"],
        message=row["message"],
        attempts=row["attempts"],
        process=row["process"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
    )
