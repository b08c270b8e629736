import os

import pytest

from stadet.engine import files
from stadet.tools.cli import main
from stadet.tools.cluster.records import read_records
from stadet.tools.cluster.sources import list_sources
from stadet.tools.cluster.store import Store
from stadet.tools.cluster.worker import Order, Worker, toolkit_version
from stadet.tools.cluster.works import WORKS
from tests.tools.small_checkpoints import save_small_classifier

fsspec = pytest.importorskip("fsspec")
PREDICT = {"for_evaluation": True, "device": "cpu"}


def make_worker(fleet, out, tmp_path, options=PREDICT, **changes):
    facts = {"work": "predict", "version": toolkit_version(), **changes}
    order = Order(
        facts["work"],
        options,
        "models/best.pt",
        "digest",
        str(out),
        str(tmp_path / "scratch"),
        facts["version"],
    )
    return Worker(order, facts.get("content", fleet.checkpoint.read_bytes()))


@pytest.fixture
def worker(fleet, tmp_path):
    worker = make_worker(fleet, tmp_path / "out", tmp_path)
    _, outcome = worker.open()
    assert outcome.error is None
    yield worker
    worker.close()


def whole(fleet, path, *more):
    """What one process writes of all videos."""
    arguments = [str(fleet.videos), "--checkpoint", str(fleet.checkpoint), "--device", "cpu"]
    assert main(["predict", *arguments, "--for-evaluation", "--out", str(path), *more]) == 0
    return path.read_bytes()


def test_results_are_byte_for_byte_those_of_one_process(fleet, worker, tmp_path):
    sources = list_sources([str(fleet.videos)])
    for source in reversed(sources):
        outcome = worker.do(source)
        assert outcome.error is None
        assert outcome.record == read_records(Store(tmp_path / "out"))[source.name]
    assert [outcome.record.frames for outcome in map(worker.do, sources)] == [20, 33, 17]
    parts = [(tmp_path / "out" / f"{s.name}.jsonl").read_bytes() for s in sources]
    header = parts[0].splitlines(keepends=True)[0]
    joined = header + b"".join(part.removeprefix(header) for part in parts)
    single = whole(fleet, tmp_path / "single.jsonl")
    assert joined == single
    assert single.count(b"bbox") > 100
    assert not [p for p in (tmp_path / "scratch").iterdir() if "video" in p.name]


def test_objects_give_what_files_give(fleet, tmp_path):
    system = fsspec.filesystem("memory")
    for path in fleet.videos.rglob("*.mp4"):
        name = path.relative_to(fleet.videos).as_posix()
        system.pipe_file(f"/cams/{name}", path.read_bytes())
    try:
        worker = make_worker(fleet, "memory://found/day", tmp_path)
        assert worker.open()[1].error is None
        assert not [s for s in list_sources(["memory://cams"]) if worker.do(s).error]
        header = None
        parts = b""
        for name in ("a", "b", "in/c"):
            header, _, rest = system.cat_file(f"/found/day/{name}.jsonl").partition(b"\n")
            parts += rest
        assert header + b"\n" + parts == whole(fleet, tmp_path / "single.jsonl")
        worker.close()
        assert not list((tmp_path / "scratch").iterdir())
    finally:
        system.store.clear()


def test_a_run_of_one_video_equals_stad_run(fleet, tmp_path):
    arguments = ["--checkpoint", str(fleet.checkpoint), "--threshold", "0.5", "--device", "cpu"]
    video = str(fleet.videos / "a.mp4")
    assert main(["run", video, *arguments, "--out", str(tmp_path / "single")]) == 0
    options = {"threshold": 0.5, "device": "cpu"}
    worker = make_worker(fleet, tmp_path / "out", tmp_path, options, work="run")
    assert worker.open()[1].error is None
    (source,) = list_sources([video])
    assert worker.do(source).error is None
    found, wanted = tmp_path / "out" / "a", tmp_path / "single"
    names = {path.name for path in wanted.iterdir()}
    assert {path.name for path in found.iterdir()} == names
    assert {"a.mp4", "a.png", "detections.jsonl", "index.html"} <= names
    page = str(fleet.checkpoint).encode()
    for name in names:
        content = (wanted / name).read_bytes().replace(page, b"models/best.pt")
        assert (found / name).read_bytes() == content, name


@pytest.mark.parametrize("options", [{}, {"threshold": 0.0}, {"sliding": 0.5, "stride": 0.25}])
def test_the_classes_of_one_video_equal_stad_classify(fleet, tmp_path, options):
    checkpoint = save_small_classifier(tmp_path / "classifier.pt")
    worker = make_worker(
        fleet,
        tmp_path / "out",
        tmp_path,
        {"device": "cpu", **options},
        work="classify",
        content=checkpoint.read_bytes(),
    )
    assert worker.open()[1].error is None
    chosen = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    tables = set()
    for name in ("a", "b"):
        video, wanted = str(fleet.videos / f"{name}.mp4"), tmp_path / "single" / name
        arguments = [video, "--checkpoint", str(checkpoint), "--device", "cpu", *chosen]
        assert main(["classify", *arguments, "--out", str(wanted)]) == 0
        (source,) = list_sources([video])
        assert worker.do(source).error is None
        found = {p.name: p.read_bytes() for p in (tmp_path / "out" / name).iterdir()}
        assert found == {p.name: p.read_bytes() for p in wanted.iterdir()}
        table = "timeline.csv" if "sliding" in options else "predictions.csv"
        assert set(found) == ({table, f"{name}.png"} if "sliding" in options else {table})
        tables.add(found[table])
    assert len(tables) == 2
    worker.close()


def test_a_video_without_room_for_a_clip_is_told(fleet, tmp_path):
    sampling = {"frames": 21, "policy": "one-clip", "pad_short": False}
    checkpoint = save_small_classifier(tmp_path / "classifier.pt", sampling=sampling)
    content = checkpoint.read_bytes()
    worker = make_worker(
        fleet, tmp_path / "out", tmp_path, {"device": "cpu"}, work="classify", content=content
    )
    assert worker.open()[1].error is None
    short, long, _ = map(worker.do, list_sources([str(fleet.videos)]))
    assert "a.mp4 has 20 frames, a clip needs 21" in short.error
    assert not short.transient
    assert long.error is None
    assert not [name for name in Store(tmp_path / "out").sizes() if "a" in name.split("/")]
    worker.close()


def test_a_video_that_changes_while_it_is_worked_on_gives_no_result(fleet, tmp_path, monkeypatch):
    video = tmp_path / "a.mp4"
    video.write_bytes((fleet.videos / "a.mp4").read_bytes())
    (source,) = list_sources([str(video)])

    def work_and_replace(name, path, folder):
        (folder / f"{name}.jsonl").write_text("{}")
        os.utime(path, ns=(1, 1))

    monkeypatch.setitem(WORKS, "predict", lambda *_: work_and_replace)
    worker = make_worker(fleet, tmp_path / "out", tmp_path)
    assert worker.open()[1].error is None
    outcome = worker.do(source)
    assert "a.mp4: changed while it was read" in outcome.error
    assert outcome.record is None
    assert Store(tmp_path / "out").sizes() == {}
    worker.close()


def test_bad_videos_are_told_and_nothing_is_written(fleet, worker, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "gone.mp4").write_bytes((fleet.videos / "a.mp4").read_bytes())
    text, gone = list_sources([str(tmp_path / n) for n in ("text.mp4", "gone.mp4")])
    (tmp_path / "gone.mp4").unlink()
    for source, words in ((text, "text.mp4"), (gone, "gone.mp4: expected a video, found nothing")):
        outcome = worker.do(source)
        assert words in outcome.error
        assert "\n" not in outcome.error
        assert outcome.record is None
        assert not outcome.transient
    assert Store(tmp_path / "out").sizes() == {}


def test_a_full_disk_is_told(fleet, worker, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkdtemp", full)
    outcome = worker.do(list_sources([str(fleet.videos / "a.mp4")])[0])
    assert "the disk is full" in outcome.error


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "0.0"}, "expected stadet 0.0, found"),
        ({"content": b"no checkpoint"}, "models/best.pt"),
        ({"work": "classify", "options": {}}, "models/best.pt"),
        ({"options": {"device": "cuda:99"}}, "--device"),
    ],
)
def test_a_worker_that_cannot_be_used_says_why(fleet, tmp_path, changes, words):
    worker = make_worker(fleet, tmp_path / "out", tmp_path, **changes)
    who, outcome = worker.open()
    assert "process" in who
    assert words in outcome.error
    assert str(tmp_path) not in outcome.error
    worker.close()
    assert not (tmp_path / "scratch").exists() or not list((tmp_path / "scratch").iterdir())
