"""Scheduling, with a stand-in for Ray whose workers do what a script says."""

from types import SimpleNamespace

import pytest

from stadet.engine.errors import UserError
from stadet.tools.cluster.crew import MOST_STARTS, Crew
from stadet.tools.cluster.records import Record
from stadet.tools.cluster.sources import Source
from stadet.tools.cluster.worker import Outcome

SOURCES = [Source(name, f"/v/{name}.mp4", 1, "1") for name in "abcdef"]
RECORD = Record("d", 1, "1", {}, 5, 0.1, "w")


class Died(Exception):
    """A worker's process is gone."""


class Ray:
    """What `Crew` uses of Ray; calls are answered when they are waited for, the oldest first.

    does: (number of the actor, video or "open") -> Outcome, or Died; nodes: of each actor.
    """

    def __init__(self, does, nodes=lambda number: "n1"):
        self.does, self.nodes = does, nodes
        self.actors, self.killed, self.flying, self.most = 0, [], [], 0
        self.exceptions = SimpleNamespace(RayError=Died)

    def put(self, content):
        return content

    def remote(self, **options):
        def make(*_):
            self.actors += 1
            return Actor(self, self.actors)

        return lambda kind: SimpleNamespace(remote=make)

    def wait(self, refs, num_returns=1, timeout=None):
        self.most = max(self.most, sum(ref[1] == "do" for ref in refs))
        oldest = min(refs, key=self.flying.index)
        return [oldest], [ref for ref in refs if ref is not oldest]

    def get(self, ref):
        number, method, argument, _ = ref
        if method == "node":
            return self.nodes(number)
        if method == "close":
            return None
        outcome = self.does(number, "open" if method == "open" else argument.name)
        if outcome is Died:
            raise Died("gone")
        return (f"host, process {number}", outcome) if method == "open" else outcome

    def kill(self, actor):
        self.killed.append(actor.number)


class Actor:
    def __init__(self, ray, number):
        self.number = number

        def method(name):
            def call(argument=None):
                ref = (number, name, argument, len(ray.flying))
                ray.flying.append(ref)
                return ref

            return SimpleNamespace(remote=call)

        self.open, self.do, self.node, self.close = map(method, ("open", "do", "node", "close"))


def work(ray, *, workers=2, retries=2, sources=SOURCES):
    crew = Crew(ray, None, b"", workers=workers, cpus=1, gpus=0, retries=retries)
    results = {task.source.name: (task, record) for task, record in crew.work(sources)}
    crew.close()
    return results


def test_every_video_is_done_once_with_one_in_flight_for_each_worker():
    asked = []

    def does(number, what):
        if what != "open":
            asked.append(what)
        return Outcome(None if what == "open" else RECORD)

    ray = Ray(does)
    results = work(ray, workers=3)
    assert sorted(asked) == list("abcdef")
    assert all(record is RECORD for _, record in results.values())
    assert ray.most == 3
    assert sorted(ray.killed) == [1, 2, 3]


def test_a_video_whose_worker_dies_is_done_by_another(capsys):
    deaths = []

    def does(number, what):
        if what == "c" and len(deaths) < 2:
            deaths.append(number)
            return Died
        return Outcome(None if what == "open" else RECORD)

    results = work(Ray(does))
    assert results["c"][1] is RECORD
    assert results["c"][0].tries == 3
    told = capsys.readouterr().err
    assert told.count("c: worker ") == 2
    assert "once more" in told


def test_a_video_that_kills_every_worker_does_not_stop_the_others():
    results = work(Ray(lambda _, what: Died if what == "b" else Outcome(RECORD)), retries=1)
    assert results["b"][1] is None
    assert results["b"][0].tries == 2
    assert len(results["b"][0].faults) == 2
    assert all(record is RECORD for name, (_, record) in results.items() if name != "b")


def test_a_bad_video_is_not_tried_again_on_the_same_machine_but_on_another():
    tried = []

    def does(number, what):
        if what == "a":
            tried.append(number)
            return Outcome(error="no codec for it", transient=False)
        return Outcome(RECORD)

    assert work(Ray(does), workers=2)["a"][1] is None
    assert len(tried) == 1
    tried.clear()
    assert work(Ray(does, nodes=lambda number: f"n{number}"), workers=2)["a"][1] is None
    assert sorted(tried) == [1, 2]


def test_a_codec_that_one_machine_lacks_is_found_on_the_other():
    def does(number, what):
        if what != "open" and number == 1:
            return Outcome(error="no codec for it", transient=False)
        return Outcome(RECORD)

    results = work(Ray(does, nodes=lambda number: f"n{number}"), workers=2)
    assert all(record is RECORD for _, record in results.values())


def test_a_server_that_does_not_answer_is_asked_again_by_the_same_machine():
    left = [1, 1]

    def does(number, what):
        if what == "a" and left:
            left.pop()
            return Outcome(error="no answer", transient=True)
        return Outcome(RECORD)

    results = work(Ray(does), workers=1)
    assert results["a"][1] is RECORD
    assert results["a"][0].tries == 3


def test_a_worker_that_cannot_open_the_checkpoint_is_left_out(capsys):
    def does(number, what):
        return Outcome(error="no GPU") if (number, what) == (1, "open") else Outcome(RECORD)

    results = work(Ray(does))
    assert all(record is RECORD for _, record in results.values())
    assert "worker 1 (host, process 1) cannot be used: no GPU" in capsys.readouterr().err


def test_no_worker_left_is_an_error():
    with pytest.raises(UserError, match=r"no worker is left; the last one: .*no GPU"):
        work(Ray(lambda *_: Outcome(error="no GPU")))
    ray = Ray(lambda *_: Died)
    with pytest.raises(
        UserError, match=r"no worker is left; the last one: worker \d: its process died"
    ):
        work(ray)
    assert ray.actors == 2 * MOST_STARTS


def test_what_workers_print_is_told_once(capsys):
    note = Outcome(RECORD, notes=["30 fps, shown to the model at 15 fps", "a: as it is"])
    work(Ray(lambda _, what: Outcome() if what == "open" else note), workers=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["a: 30 fps, shown to the model at 15 fps", "a: as it is"]
