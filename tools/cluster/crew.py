"""The workers of a fleet as the driver sees them: started, given videos, and started again."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from stadet.engine.errors import UserError
from stadet.tools.cluster.records import Record
from stadet.tools.cluster.sources import Source
from stadet.tools.cluster.worker import Order, Outcome, Worker

PATIENCE_SECONDS = 60.0  # without any worker, before a user is told why
END_SECONDS = 900.0  # without any worker, before the work is given up
MOST_STARTS = 3  # of a worker that dies before it has opened the checkpoint


@dataclass
class Task:
    """A video on its way.

    Attributes:
        tries: how often it was handed out.
        refused: hosts (Ray nodes) that could not do it.
        faults: what went wrong, a line a try.
    """

    source: Source
    tries: int = 0
    refused: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


@dataclass
class _Member:
    number: int
    actor: Any
    starts: int = 1
    node: str = ""
    name: str = ""  # of host and process, once it is open

    def __str__(self) -> str:
        return f"worker {self.number}" + (f" ({self.name})" if self.name else "")


class Crew:
    """Workers over a list of videos; at most one video is in flight for each."""

    def __init__(
        self,
        ray: ModuleType,
        order: Order,
        checkpoint: bytes,
        *,
        workers: int,
        cpus: float,
        gpus: float,
        retries: int,
    ) -> None:
        self._ray, self._order, self._retries = ray, order, retries
        self._content = ray.put(checkpoint)  # once for each machine
        self._class = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Worker)
        self._needs = f"{cpus:g} cores" + (f" and {gpus:g} GPUs" if gpus else "")
        self._members = [_Member(n + 1, self._start()) for n in range(workers)]
        self._told: set[str] = set()

    def work(self, sources: Iterable[Source]) -> Iterator[tuple[Task, Record | None]]:
        """Each video with its record as it is done, or with None where all tries failed.

        UserError where no worker could open the checkpoint, or none is left.
        """
        ray, queue = self._ray, deque(Task(source) for source in sources)
        flying: dict[Any, tuple[_Member, Task | None]] = {}
        for member in self._members:
            flying[member.actor.open.remote()] = (member, None)
        idle: list[_Member] = []
        alone = time.monotonic()  # since when nobody has been open
        waited = False
        last = "no worker came up"
        while queue or any(task for _, task in flying.values()):
            ready, _ = ray.wait(list(flying), num_returns=1, timeout=1.0)
            for ref in ready:
                member, task = flying.pop(ref)
                try:
                    found = ray.get(ref)
                except ray.exceptions.RayError as error:
                    last = f"{member}: {_death(error)}"
                    if task is not None and self._again(task, queue, last, host=None):
                        yield task, None
                    if (call := self._restart(member, opened=task is not None)) is not None:
                        flying[call] = (member, None)
                    continue
                if task is None:
                    member.name, outcome = found
                    self._tell(outcome, "")
                    if outcome.error is None:
                        member.node, member.starts = self._node_of(member), 1
                        idle.append(member)
                        continue
                    last = f"{member} cannot be used: {outcome.error}"
                    print(last, file=sys.stderr)
                    ray.kill(member.actor)
                    self._members.remove(member)
                    continue
                idle.append(member)
                self._tell(found, f"{task.source.name}: ")
                if found.record is not None:
                    yield task, found.record
                    continue
                line = f"{member}: {found.error}"
                host = None if found.transient else member.node
                if self._again(task, queue, line, host=host):
                    yield task, None
            self._hand_out(idle, queue, flying)
            if any(member.node for member in self._members):
                alone = time.monotonic()
            elif not self._members:
                raise UserError(f"no worker is left; the last one: {last}")
            elif not waited and time.monotonic() - alone > PATIENCE_SECONDS:
                waited = True
                print(f"waiting for a worker: each needs {self._needs}", file=sys.stderr)
            elif time.monotonic() - alone > END_SECONDS:
                raise UserError(
                    f"expected a worker with {self._needs}, found none for "
                    f"{END_SECONDS / 60:.0f} minutes ({last}); see ray status, or lower --cpus and "
                    "--gpus"
                )

    def close(self) -> None:
        """End all workers; those that are idle put their files away first."""
        ray = self._ray
        calls = [member.actor.close.remote() for member in self._members if member.node]
        with contextlib.suppress(ray.exceptions.RayError):
            ray.wait(calls, num_returns=len(calls), timeout=2.0) if calls else None
        for member in self._members:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(member.actor)

    def _start(self) -> Any:
        return self._class.remote(self._order, self._content)

    def _restart(self, member: _Member, *, opened: bool) -> Any | None:
        """The opening of a worker in place of one that died; None after too many."""
        member.node, member.name = "", ""
        if not opened:
            member.starts += 1
        if member.starts > MOST_STARTS:
            self._members.remove(member)
            return None
        member.actor = self._start()
        return member.actor.open.remote()

    def _again(self, task: Task, queue: deque[Task], line: str, host: str | None) -> bool:
        """Queue a failed video once more; True where that is no use.

        host: that cannot do it whatever happens; None: chance.
        """
        task.faults.append(line)
        if host is not None:
            task.refused.add(host)
        nodes = {member.node for member in self._members if member.node}
        hopeless = host is not None and not nodes - task.refused
        if task.tries > self._retries or hopeless:
            return True
        print(f"{task.source.name}: {line}; once more", file=sys.stderr)
        queue.append(task)
        return False

    def _hand_out(
        self, idle: list[_Member], queue: deque[Task], flying: dict[Any, tuple[_Member, Any]]
    ) -> None:
        """A video to every idle worker, none to a host that refused it while others live."""
        nodes = {member.node for member in self._members if member.node}
        for member in list(idle):
            for task in queue:
                if member.node in task.refused and nodes - task.refused:
                    continue
                queue.remove(task)
                task.tries += 1
                idle.remove(member)
                flying[member.actor.do.remote(task.source)] = (member, task)
                break

    def _node_of(self, member: _Member) -> str:
        return self._ray.get(member.actor.node.remote())

    def _tell(self, outcome: Outcome, before: str) -> None:
        """What a worker printed, each line once."""
        for line in outcome.notes:
            if line not in self._told:
                self._told.add(line)
                told = line if line.startswith(before) else before + line
                print(told, file=sys.stderr)


def _death(error: Exception) -> str:
    kind = type(error).__name__
    if "OutOfMemory" in kind:
        return "was killed because its machine's memory ran out; use fewer workers"
    if "Died" in kind or "Actor" in kind:
        return "its process died"
    if "Task" in kind:  # an error outside of what a worker tells, such as of its import
        return f"failed ({str(error).strip().splitlines()[-1]})"
    return f"was lost ({kind})"
