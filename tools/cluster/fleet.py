"""A verb over many videos on many workers: resumable, its results those of the verb itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.folder_lock import folder_lock
from stadet.engine.limits import expect_within
from stadet.engine.progress import progress_bar
from stadet.tools.cluster.crew import Crew
from stadet.tools.cluster.ray_session import ray_session
from stadet.tools.cluster.records import VIDEOS, Record, claim, settings_digest, split_done
from stadet.tools.cluster.sources import Source, list_sources
from stadet.tools.cluster.store import OWN, Store
from stadet.tools.cluster.urls import file_system, local_path, telling
from stadet.tools.cluster.worker import Order, toolkit_version
from stadet.tools.cluster.works import WORKS

FAILURES = f"{OWN}/failures.json"


@dataclass(frozen=True)
class FleetResult:
    """What became of the videos of a fleet.

    Attributes:
        out: where results lie.
        done: names of the videos done now.
        kept: names of those that were done before.
        failed: name -> what went wrong, of those that are not done.
        frames: that were looked at now.
    """

    out: str
    done: list[str]
    kept: list[str]
    failed: dict[str, str]
    frames: int


def run_fleet(
    work: str,
    sources: str | Path | Sequence[str | Path],
    checkpoint: str | Path,
    out: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float | None = None,
    address: str | None = None,
    retries: int = 2,
    overwrite: bool = False,
    scratch: str | Path | None = None,
) -> FleetResult:
    """Run a verb over many videos, a video at a time on each of many workers.

    Run it again to continue: a video is done where its results lie and its record beside them says
    that they are of the same checkpoint, settings and source. Results appear whole, and equal
    those of the verb in one process.

    Args:
        work: "predict" (NAME.jsonl for each video), "run" (a folder NAME) or "classify" (a folder
            NAME).
        sources: video files, frame folders, folders of videos, or URLs of objects or of all below
            a prefix (s3://, gs:// or others of fsspec).
        checkpoint: path or URL of a file that the verb takes; workers get it from here.
        out: folder or URL for all results.
        options: keyword arguments of `predict`, `run_videos`, or `classify` and
            `classify_windows` (whose `window` is called "sliding").
        workers: how many (default: one for each GPU, or for each `cpus` cores).
        cpus: cores of each.
        gpus: GPUs of each; .5: two share one (default: 1 where there are GPUs).
        address: of a Ray cluster, "HOST:PORT" or "auto" (default: this machine alone).
        retries: further tries of a video after a worker died or a server did not answer.
        overwrite: replace results of other settings or of videos that have changed.
        scratch: folder of each machine for copies of videos (default: in its temporary folder).

    Returns:
        What became of each video. A video that failed does not stop the others.

    Raises:
        UserError: where `out` holds results of other settings (unless `overwrite`), for sources
            that are not there, a cluster that cannot be reached, and a checkpoint or options that
            no worker can use.
    """
    if work not in WORKS:
        raise UserError(f"work: expected one of {', '.join(WORKS)}, found {work!r}")
    expect_within("--workers", workers, 1)
    expect_within("--cpus", cpus, 0)
    expect_within("--gpus", gpus, 0)
    expect_within("--retries", retries, 0)
    given = [sources] if isinstance(sources, (str, Path)) else sources
    listed = list_sources([str(source) for source in given])
    content = _read_checkpoint(str(checkpoint))
    options = dict(options or {})
    settings = {
        "work": work,
        "checkpoint": hashlib.sha256(content).hexdigest()[:16],
        **{name: _plain(value) for name, value in options.items() if value is not None},
    }
    digest = settings_digest(settings)
    store = Store(out, scratch)
    with _alone(store):
        claim(store, settings, overwrite=overwrite)
        todo, kept = split_done(listed, store, digest, overwrite=overwrite)
        order = Order(
            work,
            options,
            str(checkpoint),
            digest,
            str(out) if store.folder is None else str(store.folder),
            None if scratch is None else str(scratch),
            toolkit_version(),
        )
        done: dict[str, Record] = {}
        failed: dict[str, str] = {}
        if todo:
            with ray_session(address, checkpoint_bytes=len(content)) as ray:
                share = _gpus(ray) if gpus is None else gpus
                crew = Crew(
                    ray,
                    order,
                    content,
                    workers=min(len(todo), workers or _fitting(ray, cpus, share)),
                    cpus=cpus,
                    gpus=share,
                    retries=retries,
                )
                with contextlib.closing(crew):
                    _work(crew, todo, len(listed), store, done, failed)
        lines = json.dumps(failed, indent=1).encode()
        if failed or store.read(FAILURES) is not None:
            store.write(FAILURES, lines)
    frames = sum(record.frames for record in done.values())
    return FleetResult(str(out), list(done), list(kept), failed, frames)


def _work(
    crew: Crew,
    todo: Sequence[Source],
    total: int,
    store: Store,
    done: dict[str, Record],
    failed: dict[str, str],
) -> None:
    frames = 0
    with progress_bar(description="videos", total=total, unit="video") as bar:
        bar.update(total - len(todo))
        for task, record in crew.work(todo):
            name = task.source.name
            if record is not None and not _arrived(store, name):
                task.faults.append(
                    f"{record.worker} wrote its results where this machine does not see them; "
                    "give --out as a folder that all machines share, or as a URL"
                )
                record = None
            if record is None:
                failed[name] = f"{task.faults[-1]} (tries: {task.tries})"
                print(f"{name}: failed: {failed[name]}", file=sys.stderr)
            else:
                done[name] = record
                frames += record.frames
            facts = {"frames": f"{frames:,}"}
            bar.set_postfix({**facts, "failed": str(len(failed))} if failed else facts)
            bar.update()


def _arrived(store: Store, name: str) -> bool:
    """A record in a folder is there; of a URL that goes without saying."""
    return store.folder is None or (store.folder / VIDEOS / f"{name}.json").exists()


def _read_checkpoint(place: str) -> bytes:
    path = local_path(place)
    if path is None:
        with telling(place, "read"):
            return file_system(place).cat_file(place)
    if not path.is_file():
        raise UserError(f"checkpoint {path}: expected a file, found none")
    return path.read_bytes()


def _plain(value: Any) -> Any:
    """Of plain data, as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """No second fleet writes into the same folder."""
    if store.folder is None:
        yield
        return
    with folder_lock(store.folder / OWN, "a fleet writing there"):
        yield


def _gpus(ray: ModuleType) -> float:
    return 1.0 if ray.cluster_resources().get("GPU") else 0.0


def _fitting(ray: ModuleType, cpus: float, gpus: float) -> int:
    """Workers for which all machines together have room."""
    resources = ray.cluster_resources()
    rooms = [resources.get("GPU", 0) / gpus] if gpus else []
    rooms += [resources.get("CPU", 1) / cpus] if cpus else []
    return max(1, int(min(rooms, default=1)))
